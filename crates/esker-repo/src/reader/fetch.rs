//! Fetching frames: which are asked for together, and what is asked for ahead.

use bytes::BytesMut;
use esker_format::layout::PackName;

use super::{ChunkReader, ReadContext, not_indexed};
use crate::error::{RepoError, Result};
use crate::index::{Index, Location};
use crate::look_ahead::{Ahead, Asked, Group, Reach, end_of};
use crate::windows::Windows;

impl ChunkReader {
    pub(super) fn reach(&self) -> Reach {
        let store = &self.repository.store;
        Reach::new(store.is_local(), store.is_far())
    }

    /// Asks for the first of these places, and for those after it that need no further request.
    pub(super) fn begin_group(&self, index: &Index, position: usize, left: &[Option<Location>]) -> Result<Group> {
        if let (Some(cache), Some(Some(place))) = (&self.frames, left.first())
            && cache.has(&index.pack(place.pack)?.name.id, &place.frame)
        {
            return Ok(Group { position, count: 1, asked: None });
        }
        let count = self.together(index, left)?;
        Ok(Group { position, count, asked: Some(self.begin_fetch(index, left.get(..count).unwrap_or_default())) })
    }

    /// The chunk at the first of these places, if the cache has it whole.
    pub(super) fn cached(&self, index: &Index, places: &[Option<Location>], context: &mut ReadContext) -> Result<Option<Vec<u8>>> {
        let (Some(cache), Some(Some(place))) = (&self.frames, places.first()) else { return Ok(None) };
        let pack = index.pack(place.pack)?.name.id;
        let Some(mut sealed) = cache.get(&pack, &place.frame) else { return Ok(None) };
        let opened = self.open_in(index, place, u64::from(place.frame.offset), &mut sealed, context).map(<[u8]>::to_vec);
        if opened.is_err() {
            cache.remove(&pack, &place.frame);
        }
        Ok(opened.ok())
    }

    /// How many of the first places are fetched in one request: at least one, and then none that the cache has.
    fn together(&self, index: &Index, places: &[Option<Location>]) -> Result<usize> {
        let count = self.reach().together(places);
        let Some(cache) = &self.frames else { return Ok(count) };
        for (number, place) in places.iter().enumerate().take(count).skip(1) {
            if let Some(place) = place
                && cache.has(&index.pack(place.pack)?.name.id, &place.frame)
            {
                return Ok(number);
            }
        }
        Ok(count)
    }

    /// Fetches the bytes that these places span, and keeps what the cache may have of them; all are of one pack. With where
    /// they start.
    fn fetch(&self, index: &Index, places: &[Option<Location>]) -> Result<(u64, BytesMut)> {
        self.end_fetch(index, places, self.begin_fetch(index, places)?)
    }

    pub(super) fn begin_fetch(&self, index: &Index, places: &[Option<Location>]) -> Result<Asked> {
        let (Some(first), Some(last)) = (places.first().copied().flatten(), places.last().copied().flatten()) else {
            return Err(RepoError::Internal("nothing to fetch".into()));
        };
        let (start, end) = (u64::from(first.frame.offset), end_of(&last));
        let (name, store) = (index.pack(first.pack)?.name, &self.repository.store);
        if !self.has_window(&name, start, end) {
            return Ok(Asked::Coming(start, store.begin_range(&name.path(), start, end)));
        }
        if let Some(bytes) = self.windows.get(&name, start, end) {
            return Ok(Asked::Here(bytes));
        }
        let (start, end) = Windows::around(start, end);
        Ok(Asked::Coming(start, store.begin_range(&name.path(), start, end)))
    }

    fn has_window(&self, pack: &PackName, start: u64, end: u64) -> bool {
        self.repository.store.is_far() && Windows::takes(pack.kind, end - start)
    }

    pub(super) fn end_fetch(&self, index: &Index, places: &[Option<Location>], asked: Asked) -> Result<(u64, BytesMut)> {
        let (Some(first), Some(last)) = (places.first().copied().flatten(), places.last().copied().flatten()) else {
            return Err(RepoError::Internal("nothing to fetch".into()));
        };
        let (start, pack) = (u64::from(first.frame.offset), index.pack(first.pack)?);
        let bytes = match asked {
            Asked::Here(bytes) => bytes,
            Asked::Coming(from, fetching) => {
                let bytes = self.repository.store.wait_for(fetching)?;
                if self.has_window(&pack.name, start, end_of(&last)) {
                    self.windows.keep(pack.name, from, bytes.clone());
                }
                // Fewer of them are there if the pack was cut short.
                let at = |offset: u64| usize::try_from(offset - from).unwrap_or(usize::MAX).min(bytes.len());
                bytes.slice(at(start)..at(end_of(&last)))
            }
        };
        if let Some(cache) = &self.frames {
            for Location { frame, .. } in places.iter().flatten() {
                let from = usize::try_from(u64::from(frame.offset).saturating_sub(start)).unwrap_or(usize::MAX);
                if let Some(sealed) = bytes.get(from..from.saturating_add(frame.entry.stored_len as usize)) {
                    cache.put(&pack.name.id, frame, sealed);
                }
            }
        }
        Ok((start, bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()))))
    }

    /// The chunk at exactly this place of an index.
    ///
    /// # Errors
    /// `Missing`, `Object` if it is not whole there; `Store`.
    pub(crate) fn read_at(&self, index: &Index, context: &mut ReadContext, place: &Location) -> Result<Vec<u8>> {
        let (start, mut bytes) = self.fetch(index, &[Some(*place)])?;
        self.open_in(index, place, start, &mut bytes, context).map(<[u8]>::to_vec)
    }

    /// The chunks at these places of an index as they were compressed, checked, to be written again; neighbours in one
    /// request. `take` gets each one's position.
    ///
    /// # Errors
    /// `Store`, and what `take` returns.
    pub(crate) fn bodies_at(
        &self,
        index: &Index,
        context: &mut ReadContext,
        places: &[Location],
        mut take: impl FnMut(usize, Result<Vec<u8>>) -> Result<()>,
    ) -> Result<()> {
        let places: Vec<Option<Location>> = places.iter().copied().map(Some).collect();
        let reach = self.reach().whole();
        let mut ahead = Ahead::new(reach);
        let begin = |position, left: &[Option<Location>]| {
            let count = reach.together(left);
            Ok(Group { position, count, asked: Some(self.begin_fetch(index, left.get(..count).unwrap_or_default())) })
        };
        while let Some(Group { position, count, asked }) = ahead.next(&places, begin)? {
            let group = places.get(position..position + count).unwrap_or_default();
            let fetched = match asked {
                Some(asked) => asked.and_then(|asked| self.end_fetch(index, group, asked)),
                None => self.fetch(index, group),
            };
            let mut fetched = match fetched {
                Err(error @ RepoError::Store { .. }) => return Err(error),
                fetched => fetched,
            };
            for (number, place) in group.iter().enumerate() {
                let Some(place) = place else { continue };
                let body = match &mut fetched {
                    Ok((start, bytes)) => self.body_in(index, place, *start, bytes, context),
                    Err(RepoError::Cold { path }) => Err(RepoError::Cold { path: path.clone() }),
                    Err(error) => Err(RepoError::ChunkLost { chunk: place.frame.entry.chunk, why: error.to_string() }),
                };
                take(position + number, body)?;
            }
        }
        Ok(())
    }

    fn body_in(&self, index: &Index, place: &Location, start: u64, bytes: &mut BytesMut, context: &mut ReadContext) -> Result<Vec<u8>> {
        let pack = index.pack(place.pack)?;
        let from = usize::try_from(u64::from(place.frame.offset).saturating_sub(start)).unwrap_or(usize::MAX);
        let sealed = bytes.get_mut(from..from.saturating_add(place.frame.entry.stored_len as usize));
        let Some(sealed) = sealed else { return Err(not_indexed(&place.frame.entry.chunk)) };
        let opener = self.opener(&pack)?;
        let body = opener.open_body(&self.repository.sealing, &place.frame, sealed, &mut context.decoder);
        body.map_err(RepoError::object(pack.name.path()))
    }
}
