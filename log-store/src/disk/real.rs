//! Files of the operating system, read through memory maps.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::RwLock;

use super::{DirEntry, DirLock, Disk, DiskFile, OpenMode, mmap::Mapping};

/// An active file is mapped in steps of this size, ahead of its length.
const MAP_STEP_BYTES: u64 = 64 << 20;
/// The kernel takes at most this many buffers in one call.
const BUFFERS_MAX: usize = 1024;

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Create => options.write(true).create(true).truncate(true),
            OpenMode::Write => options.write(true),
            OpenMode::Read => &mut options,
        };
        let file = options.open(path)?;
        let len = file.metadata()?.len();
        let mut opened = RealFile {
            file: Some(file),
            len: AtomicU64::new(len),
            mapping: RwLock::new(None),
        };
        if mode == OpenMode::Read {
            // The map is all that a reader needs: a log of many segments does not use up the descriptors.
            opened.map(len)?;
            opened.file = None;
        }
        Ok(Arc::new(opened))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry {
                    name,
                    is_dir: entry.file_type()?.is_dir(),
                });
            }
        }
        Ok(entries)
    }

    fn lock(&self, path: &Path) -> io::Result<DirLock> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }
}

struct RealFile {
    /// Open for as long as it may be written.
    file: Option<File>,
    /// At most the file's true length: raised after a write, lowered before a cut.
    len: AtomicU64,
    mapping: RwLock<Option<Arc<Mapping>>>,
}

impl RealFile {
    fn mapping(&self, end: u64) -> io::Result<Arc<Mapping>> {
        if let Some(mapping) = &*self.mapping.read()
            && mapping.len() as u64 >= end
        {
            return Ok(mapping.clone());
        }
        self.map(end.next_multiple_of(MAP_STEP_BYTES))?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Maps at least `len` bytes; nothing if that is none.
    fn map(&self, len: u64) -> io::Result<Option<Arc<Mapping>>> {
        let mut slot = self.mapping.write();
        let mapped = slot.as_ref().map_or(0, |mapping| mapping.len() as u64);
        if mapped < len {
            *slot = Some(Mapping::new(self.file()?, len as usize)?);
        }
        Ok(slot.clone())
    }

    fn file(&self) -> io::Result<&File> {
        self.file
            .as_ref()
            .ok_or_else(|| io::Error::other("the file is open for reading only"))
    }
}

impl DiskFile for RealFile {
    fn write_at(&self, position: u64, buffers: &[&[u8]]) -> io::Result<()> {
        let file = self.file()?;
        let mut position = position;
        for chunk in buffers.chunks(BUFFERS_MAX) {
            let mut slices: Vec<IoSlice<'_>> = chunk.iter().map(|b| IoSlice::new(b)).collect();
            let mut rest = slices.as_mut_slice();
            // Empty buffers would look like a write that makes no progress.
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                match rustix::io::pwritev(file, rest, position) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        position += written as u64;
                        IoSlice::advance_slices(&mut rest, written);
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.len.fetch_max(position, Ordering::AcqRel);
        Ok(())
    }

    fn read(&self, position: u64, len: usize) -> io::Result<Bytes> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        let end = position
            .checked_add(len as u64)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let file_len = self.len.load(Ordering::Acquire);
        if end > file_len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(self.mapping(end)?.slice(position as usize, len, file_len))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len.load(Ordering::Acquire))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let file = self.file()?;
        self.len.fetch_min(len, Ordering::AcqRel);
        file.set_len(len)?;
        self.len.fetch_max(len, Ordering::AcqRel);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file()?.sync_data()
    }
}
