//! The one place where the log is unsafe: handing out bytes of a memory map as [`Bytes`].
//!
//! Invariant: bytes handed out are never written, cut off or extended over again while they are referenced.
//! It holds because
//! - segment files are append-only: a batch's bytes are written once, before the position behind them is published to
//!   readers, and readers ask only for published ranges;
//! - files are cut only behind the last published position ([`super::DiskFile::set_len`] says so);
//! - a removed or replaced file keeps its pages for as long as it is mapped, and files are replaced by rename, never in
//!   place;
//! - the directory is locked against a second server (another program that edits the files is outside of what a memory
//!   map can be protected from, as is a disk that fails to read a page: the kernel then ends the process).
//!
//! A map may be longer than its file, so that an active segment is mapped once; [`Mapping::slice`] is told the file's
//! length and never reaches beyond it.
#![allow(unsafe_code)]

use std::{fs::File, io, sync::Arc};

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};

pub(super) struct Mapping {
    map: MmapRaw,
}

impl Mapping {
    pub(super) fn new(file: &File, len: usize) -> io::Result<Arc<Mapping>> {
        let map = MmapOptions::new().len(len).map_raw_read_only(file)?;
        Ok(Arc::new(Mapping { map }))
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// `len` bytes at `start`, which lie within the map and within the file (checked against `file_len`).
    pub(super) fn slice(self: &Arc<Self>, start: usize, len: usize, file_len: u64) -> Bytes {
        let end = start.checked_add(len).expect("a range of a file");
        assert!(
            end <= self.len() && end as u64 <= file_len,
            "range lies beyond the file"
        );
        Bytes::from_owner(Slice {
            mapping: self.clone(),
            start,
            len,
        })
    }
}

struct Slice {
    mapping: Arc<Mapping>,
    start: usize,
    len: usize,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the range was checked against map and file when the slice was made, the map lives as long as
        // `self.mapping`, and by the module's invariant nobody writes these bytes while they are referenced.
        unsafe { std::slice::from_raw_parts(self.mapping.map.as_ptr().add(self.start), self.len) }
    }
}
