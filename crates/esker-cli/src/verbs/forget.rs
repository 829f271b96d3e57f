//! `forget`

use esker_ops::OpsError;
use esker_ops::forget::{Decision, ForgetReport, ForgetRequest, Policy, forget, hold, retag};
use esker_ops::time::iso;

use super::Outcome;
use crate::args::{Forget, Global};
use crate::exit::Exit;
use crate::open;
use crate::output::{Output, table};

pub fn run(global: &Global, args: &Forget, output: &Output) -> Outcome {
    let repository = open::open(global, output)?;
    let annotates = args.hold || args.unhold || !args.add_tags.is_empty() || !args.remove_tags.is_empty();
    if annotates {
        if args.backups.is_empty() {
            return Err(OpsError::Usage("name the backups to hold, release or tag".into()));
        }
        if args.dry_run {
            return Err(OpsError::Usage("--dry-run goes with forgetting only".into()));
        }
        let mut decisions = Vec::new();
        for name in &args.backups {
            let mut decision = None;
            if !args.add_tags.is_empty() || !args.remove_tags.is_empty() {
                decision = Some(retag(&repository, name, &args.add_tags, &args.remove_tags)?);
            }
            if args.hold || args.unhold {
                decision = Some(hold(&repository, name, args.hold)?);
            }
            decisions.extend(decision);
        }
        output.result(&decisions, || rows(&decisions, "NOTES"));
        return Ok(Exit::Done);
    }
    let request = ForgetRequest {
        names: args.backups.clone(),
        policy: Policy {
            last: args.keep_last,
            hourly: args.keep_hourly,
            daily: args.keep_daily,
            weekly: args.keep_weekly,
            monthly: args.keep_monthly,
            yearly: args.keep_yearly,
            within_ms: args.keep_within,
            tags: args.keep_tags.clone(),
        },
        cluster: args.cluster.clone(),
        dry_run: args.dry_run,
        force: args.force,
    };
    if !request.names.is_empty() && !request.policy.is_empty() {
        return Err(OpsError::Usage("name backups or give a policy, not both".into()));
    }
    let report = forget(&repository, &request)?;
    output.result(&report, || text(&report));
    Ok(Exit::warned(!repository.warnings().is_empty()))
}

fn text(report: &ForgetReport) -> String {
    let mut text = String::new();
    if !report.kept.is_empty() {
        text.push_str(&format!("kept {}\n{}", report.kept.len(), rows(&report.kept, "BECAUSE")));
    }
    let verb = if report.dry_run { "would forget" } else { "forgot" };
    text.push_str(&format!("{verb} {}\n", report.forgotten.len()));
    if !report.forgotten.is_empty() {
        text.push_str(&rows(&report.forgotten, ""));
    }
    text
}

fn rows(decisions: &[Decision], reasons: &str) -> String {
    let rows = decisions.iter().map(|decision| {
        let id: String = decision.id.chars().take(8).collect();
        vec![decision.label.clone(), id, decision.cluster.clone(), iso(decision.started_ms), decision.reasons.join(", ")]
    });
    table(&["LABEL", "ID", "CLUSTER", "BEGUN", reasons], rows.collect())
}
