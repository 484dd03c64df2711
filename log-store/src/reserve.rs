//! Room set aside for the manifest, so that a full disk can still be tidied up: topics dropped, segments expired, a failed
//! partition noted, the log closed in order.

use std::path::{Path, PathBuf};

use crate::{Disk, OpenMode};

const RESERVE_BYTES: usize = 1 << 20;

/// A file of nothing, removed when its room is needed and made again when there is some.
pub(crate) struct Reserve<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
}

impl<'a> Reserve<'a> {
    pub fn new(disk: &'a dyn Disk, dir: &Path) -> Self {
        Reserve {
            disk,
            path: dir.join("reserve"),
        }
    }

    /// Gives the room back; false if it was gone already.
    pub fn release(&self) -> bool {
        let released = self.disk.remove(&self.path).is_ok();
        if released {
            tracing::warn!("the disk is full; the log uses its reserve");
        }
        released
    }

    /// Sets the room aside, if there is enough.
    pub fn renew(&self) {
        let complete = self
            .disk
            .open(&self.path, OpenMode::Read)
            .and_then(|file| file.len())
            .is_ok_and(|len| len == RESERVE_BYTES as u64);
        if complete {
            return;
        }
        let made = self
            .disk
            .open(&self.path, OpenMode::Create)
            .and_then(|file| file.write_at(0, &[&vec![0; RESERVE_BYTES]]));
        if made.is_err() {
            // Half a reserve would only take room from those who need it now.
            let _ = self.disk.remove(&self.path);
        }
    }
}
