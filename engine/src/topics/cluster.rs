//! The identity of the data directory, and the topics' identities that follow from it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::error::{Error, Result};

const FILE: &str = "cluster-id";

/// Made once for a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterId(Uuid);

impl ClusterId {
    /// Reads it, or makes it durably.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(FILE);
        let failed = |source| Error::Io {
            path: path.display().to_string(),
            source,
        };
        match fs::read_to_string(&path) {
            Ok(text) => Uuid::try_parse(text.trim()).map(Self).map_err(|_| {
                Error::Corruption(format!("\"{}\" holds no identity", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = Uuid::new_v4();
                write(data_dir, &path, &id).map_err(failed)?;
                Ok(Self(id))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// As Kafka writes it.
    pub fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_bytes())
    }

    /// A topic's identity: its number, which is never given twice, with the cluster's in front.
    pub fn topic_id(&self, number: u32) -> Uuid {
        let mut bytes = *self.0.as_bytes();
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        Uuid::from_bytes(bytes)
    }

    /// The opposite.
    pub fn number_of(&self, topic: Uuid) -> Option<u32> {
        let (cluster, number) = topic.as_bytes().split_at(12);
        let number = u32::from_be_bytes(number.try_into().ok()?);
        (cluster == &self.0.as_bytes()[..12]).then_some(number)
    }
}

fn write(data_dir: &Path, path: &Path, id: &Uuid) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(data_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_and_tells_topics_apart() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let id = ClusterId::open(directory.path()).expect("made");
        assert_eq!(ClusterId::open(directory.path()).expect("read"), id);
        assert_eq!(id.name().len(), 22);
        assert_ne!(id.topic_id(1), id.topic_id(2));
        assert_eq!(id.number_of(id.topic_id(7)), Some(7));
        assert_eq!(id.number_of(Uuid::new_v4()), None);
    }
}
