//! The last states of something that is a text, in a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many are kept at most.
const MOST: usize = 50;
/// Bytes that they may have together: the names' file system is small. The newest two are kept whatever
/// they have.
const ROOM: u64 = 32 << 20;
const ENDING: &str = "vg";

/// Texts in files `NUMBER.vg`, of which the highest number is the newest.
#[derive(Debug)]
pub struct Backups {
    folder: PathBuf,
    next: u64,
    last: Option<String>,
}

impl Backups {
    /// Those in `folder`, which is made if it is missing.
    pub fn open(folder: &Path) -> io::Result<Backups> {
        if !folder.exists() {
            fs::create_dir(folder)?;
            bd_durable::sync_parent(folder)?;
        }
        let newest = numbers(folder)?.last().copied();
        let last = newest.and_then(|number| fs::read_to_string(file(folder, number)).ok());
        Ok(Backups {
            folder: folder.to_owned(),
            next: newest.map_or(1, |newest| newest + 1),
            last,
        })
    }

    /// The file of the newest in `folder`, if there is one.
    pub fn newest(folder: &Path) -> Option<PathBuf> {
        let number = *numbers(folder).ok()?.last()?;
        Some(file(folder, number))
    }

    /// Keeps a text unless it is that of the last time; durable when this returns. Old ones go.
    pub fn keep(&mut self, text: &str) -> io::Result<()> {
        if self.last.as_deref() == Some(text) {
            return Ok(());
        }
        let path = file(&self.folder, self.next);
        if let Err(error) = write(&path, text) {
            if error.kind() != io::ErrorKind::StorageFull {
                return Err(error);
            }
            self.make_room(2, 0)?;
            write(&path, text)?;
        }
        self.next += 1;
        self.last = Some(text.to_owned());
        self.make_room(MOST, ROOM)
    }

    /// Removes the oldest until there are so many, and as many bytes, at most.
    fn make_room(&self, most: usize, room: u64) -> io::Result<()> {
        let mut bytes = 0;
        for (place, number) in numbers(&self.folder)?.iter().rev().enumerate() {
            let path = file(&self.folder, *number);
            bytes += fs::metadata(&path)?.len();
            if place >= most || place >= 2 && bytes > room {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let written = bd_durable::prepare(path, text.as_bytes()).and_then(|()| bd_durable::place(path));
    if written.is_err() {
        // What there is of it takes room.
        let _ = bd_durable::remove(&bd_durable::new_name(path));
    }
    written
}

fn file(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.{ENDING}"))
}

/// The numbers of all that are there, the oldest first.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = Path::new(&name)
            .file_stem()
            .filter(|_| Path::new(&name).extension().is_some_and(|it| it == ENDING))
            .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("metadata");
        let mut backups = Backups::open(&folder).unwrap();
        for number in 0..60 {
            backups.keep(&format!("text {}", number / 2)).unwrap();
        }
        assert_eq!(numbers(&folder).unwrap(), (1..=30).collect::<Vec<_>>());
        // Opened anew, it goes on where it was.
        let mut backups = Backups::open(&folder).unwrap();
        backups.keep("text 29").unwrap();
        for number in 0..50 {
            backups.keep(&format!("other {number}")).unwrap();
        }
        let newest = Backups::newest(&folder).unwrap();
        assert_eq!(fs::read_to_string(newest).unwrap(), "other 49");
        assert_eq!(numbers(&folder).unwrap(), (31..=80).collect::<Vec<_>>());
    }

    #[test]
    fn large_ones_are_few() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("metadata");
        let mut backups = Backups::open(&folder).unwrap();
        for letter in ["a", "b", "c", "d"] {
            backups.keep(&letter.repeat(20 << 20)).unwrap();
        }
        assert_eq!(numbers(&folder).unwrap(), [3, 4]);
    }
}
