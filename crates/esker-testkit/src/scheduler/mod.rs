//! Actors whose store operations take turns as a seed says.
//!
//! Each actor is a thread that runs the shipped code over a [`ScheduledStore`]. Before each operation it waits for its
//! turn; exactly one runs at a time, and the seed says which is next, who sleeps long, and who dies at which operation. So
//! a run that went wrong can be run again.

mod store;

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::seeded::SplitMix64;

pub use store::ScheduledStore;

/// Steps that an actor sleeps when it falls asleep, at most.
const SLEEP_STEPS_MAX: u64 = 300;
/// How likely it falls asleep at a step: one in so many.
const SLEEPS_ONE_IN: u64 = 60;
/// How likely an actor goes on at once, of eight; drawn once for a run.
const STICKINESS: [u64; 4] = [0, 4, 6, 7];
/// Steps after which a run is taken to go on for ever.
const STEPS_MAX: u64 = 2_000_000;

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Done,
    /// It fails, and nothing has happened.
    Lost,
    /// It is done, but its caller hears that it failed.
    Unheard,
    /// Its caller is dead: neither this operation nor any later one happens.
    Dead,
}

/// When an actor dies, counted in its operations from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// At which operation.
    pub at: u64,
    /// Whether that one still happens.
    pub is_done: bool,
}

/// Takes turns.
pub struct Scheduler {
    state: Mutex<State>,
    turns: Vec<Condvar>,
}

struct State {
    random: SplitMix64,
    stickiness: u64,
    actors: Vec<Actor>,
    /// Whose turn it is.
    running: Option<usize>,
    steps: u64,
    /// What was done, in order: actor and operation.
    trace: Vec<(usize, String)>,
    /// One operation in so many fails; none if 0.
    fails_one_in: u64,
}

struct Actor {
    is_waiting: bool,
    is_over: bool,
    asleep_until: u64,
    operations: u64,
    death: Option<Death>,
    is_dead: bool,
}

/// An actor's own end of the scheduler.
#[derive(Clone)]
pub struct Turn {
    scheduler: Arc<Scheduler>,
    actor: usize,
    /// An actor's threads come one at a time.
    one: Arc<Mutex<()>>,
}

impl Scheduler {
    /// For actors with these deaths; one operation in `fails_one_in` fails and may be tried again (none if 0).
    #[must_use]
    pub fn new(seed: u64, deaths: Vec<Option<Death>>, fails_one_in: u64) -> Arc<Self> {
        let mut random = SplitMix64::new(seed);
        let stickiness = STICKINESS[random.below(STICKINESS.len() as u64) as usize];
        let turns = deaths.iter().map(|_| Condvar::new()).collect();
        let actor = |death| Actor { is_waiting: false, is_over: false, asleep_until: 0, operations: 0, death, is_dead: false };
        let actors = deaths.into_iter().map(actor).collect();
        let state = State { random, stickiness, actors, running: None, steps: 0, trace: Vec::new(), fails_one_in };
        Arc::new(Self { state: Mutex::new(state), turns })
    }

    /// The end of one actor.
    #[must_use]
    pub fn turn(self: &Arc<Self>, actor: usize) -> Turn {
        Turn { scheduler: Arc::clone(self), actor, one: Arc::default() }
    }

    /// Runs all actors, each in its own thread, until all are over.
    pub fn run(self: &Arc<Self>, actors: Vec<Box<dyn FnOnce() + Send + '_>>) {
        std::thread::scope(|scope| {
            for (number, actor) in actors.into_iter().enumerate() {
                let turn = self.turn(number);
                scope.spawn(move || {
                    let _over = Over(turn.clone());
                    turn.step("begin");
                    actor();
                });
            }
        });
    }

    /// What was done, in order.
    #[must_use]
    pub fn trace(&self) -> Vec<(usize, String)> {
        self.lock().trace.clone()
    }

    /// Whether the actor died.
    #[must_use]
    pub fn is_dead(&self, actor: usize) -> bool {
        self.lock().actors[actor].is_dead
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Gives the turn to the next, once everybody waits or is over.
    fn pass(&self, state: &mut State) {
        if state.running.is_some() || state.actors.iter().any(|actor| !actor.is_waiting && !actor.is_over) {
            return;
        }
        if let Some(next) = state.choose(None) {
            state.running = Some(next);
            self.turns[next].notify_one();
        }
    }
}

impl State {
    /// Who is next: the actor that just ran, if it goes on at once, or any that is awake.
    fn choose(&mut self, last: Option<usize>) -> Option<usize> {
        let steps = self.steps;
        let is_awake = |actor: &Actor| !actor.is_over && actor.asleep_until <= steps;
        if let Some(last) = last.filter(|last| is_awake(&self.actors[*last]))
            && self.random.below(8) < self.stickiness
        {
            return Some(last);
        }
        let awake: Vec<usize> = (0..self.actors.len()).filter(|actor| is_awake(&self.actors[*actor])).collect();
        if awake.is_empty() {
            // Everybody sleeps: the first to wake does so now.
            let sleeping = (0..self.actors.len()).filter(|actor| !self.actors[*actor].is_over);
            return sleeping.min_by_key(|actor| self.actors[*actor].asleep_until);
        }
        Some(awake[self.random.below(awake.len() as u64) as usize])
    }

    /// What becomes of the actor's next operation.
    fn fate(&mut self, actor: usize, what: &str) -> Fate {
        let fails_one_in = self.fails_one_in;
        let this = &mut self.actors[actor];
        if this.is_dead {
            return Fate::Dead;
        }
        let number = this.operations;
        this.operations += 1;
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the run goes on for ever");
        if let Some(death) = this.death.filter(|death| number >= death.at) {
            this.is_dead = true;
            self.trace.push((actor, format!("{what} (and dies{})", if death.is_done { " after" } else { "" })));
            return if death.is_done { Fate::Unheard } else { Fate::Dead };
        }
        if self.random.below(SLEEPS_ONE_IN) == 0 {
            self.actors[actor].asleep_until = self.steps + self.random.below(SLEEP_STEPS_MAX);
        }
        let fate = match fails_one_in {
            0 => Fate::Done,
            _ if self.random.below(fails_one_in) > 0 => Fate::Done,
            _ => [Fate::Lost, Fate::Unheard][self.random.below(2) as usize],
        };
        self.trace.push((actor, if fate == Fate::Done { what.to_owned() } else { format!("{what} ({fate:?})") }));
        fate
    }
}

impl Turn {
    /// Waits for the actor's turn; what becomes of the operation that it is about to do.
    pub fn step(&self, what: &str) -> Fate {
        let _one = self.one.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut state = self.scheduler.lock();
        if state.actors[self.actor].is_dead || state.actors[self.actor].is_over {
            return Fate::Dead;
        }
        if state.running == Some(self.actor) {
            // It goes on, or gives the turn to another.
            match state.choose(Some(self.actor)) {
                Some(next) if next == self.actor => return state.fate(self.actor, what),
                next => {
                    state.running = next;
                    next.iter().for_each(|next| self.scheduler.turns[*next].notify_one());
                }
            }
        }
        state.actors[self.actor].is_waiting = true;
        self.scheduler.pass(&mut state);
        while state.running != Some(self.actor) {
            state = self.scheduler.turns[self.actor].wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.actors[self.actor].is_waiting = false;
        state.fate(self.actor, what)
    }
}

/// An actor is over, however it ends.
struct Over(Turn);

impl Drop for Over {
    fn drop(&mut self) {
        let mut state = self.0.scheduler.lock();
        state.actors[self.0.actor].is_over = true;
        state.actors[self.0.actor].is_waiting = false;
        if state.running == Some(self.0.actor) {
            state.running = None;
        }
        self.0.scheduler.pass(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(seed: u64) -> Vec<(usize, String)> {
        let scheduler = Scheduler::new(seed, vec![None, None, Some(Death { at: 5, is_done: false })], 0);
        let actors = (0..3).map(|actor| {
            let turn = scheduler.turn(actor);
            let steps = move || {
                for number in 0..20 {
                    let _ = turn.step(&number.to_string());
                }
            };
            Box::new(steps) as Box<dyn FnOnce() + Send>
        });
        scheduler.run(actors.collect());
        assert!(scheduler.is_dead(2) && !scheduler.is_dead(0));
        scheduler.trace()
    }

    #[test]
    fn the_same_seed_gives_the_same_turns_and_others_give_others() {
        assert_eq!(trace(7), trace(7));
        assert!((8..12).any(|seed| trace(seed) != trace(7)));
        assert_eq!(trace(9).iter().filter(|(actor, _)| *actor == 2).count(), 6);
    }
}
