//! The file system as the log sees it, small enough to be simulated whole (see [`crate::sim`]).
//!
//! Two things make bytes durable: [`DiskFile::sync`] for what is in a file, [`Disk::sync_dir`] for the names in a
//! directory. The log assumes nothing beyond that: unsynced writes may be lost, torn, or persisted out of order.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;

mod mmap;
mod real;

pub use real::RealDisk;

/// What [`Disk::open`] does about an existing or a missing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Makes a new, empty file; one that exists is emptied first.
    Create,
    /// An existing file, for writing and reading.
    Write,
    /// An existing file, for reading.
    Read,
}

/// A directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The last component of its path.
    pub name: String,
    /// Whether it is itself a directory.
    pub is_dir: bool,
}

/// Whatever holds the directory's lock; dropping it gives the lock back.
pub type DirLock = Box<dyn Send + Sync>;

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a directory and those above it; not an error if it exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; what is mapped stays readable.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// What a directory holds, in no particular order.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Takes an exclusive lock on a file (made when missing; its contents mean nothing). `WouldBlock` when it is held.
    fn lock(&self, path: &Path) -> io::Result<DirLock>;
}

/// An open file. Shared between a writer and readers: the writer appends, readers read what was there before.
pub trait DiskFile: Send + Sync + 'static {
    /// Writes all buffers one after the other at `position`, or fails having written any part of them.
    fn write_at(&self, position: u64, buffers: &[&[u8]]) -> io::Result<()>;
    /// Exactly `len` bytes at `position`; without copying where the implementation can.
    ///
    /// The caller promises that these bytes are never written again for as long as the result lives.
    fn read(&self, position: u64, len: usize) -> io::Result<Bytes>;
    /// The file's length.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file, or extends it by zeros. Cuts only bytes that nobody reads.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes all earlier writes durable (`fdatasync`). After an error the file must not be written again.
    fn sync(&self) -> io::Result<()>;
}

/// Reads a small file whole.
pub(crate) fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Bytes> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = file.len()?;
    file.read(0, len as usize)
}
