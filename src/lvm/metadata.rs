//! The text of a VG's metadata, as it lies on its physical volumes.
//!
//! Only to be read while LVM's lock of the VG is held ([`crate::VgLock`]): then it is what LVM itself
//! would read. The form is that of `vgcfgbackup(8)` and LVM2, lib/format_text.

use std::path::PathBuf;

use bd_model::{Bytes, LvName, Sectors};

use crate::LvmUuid;

/// Sections within sections; LVM's own have five.
const DEPTH: usize = 12;

/// A thin LV by its VG's metadata, as far as its device needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinLv {
    /// Its name now.
    pub name: LvName,
    /// Its bytes.
    pub size: Bytes,
    /// Its number in the pool.
    pub device: u32,
    /// The LV that is its pool.
    pub pool: LvmUuid,
    /// The transaction of the pool that the metadata expect.
    pub transaction: u64,
}

/// The thin LV of this identity, if there is nothing about it but what is told here: it can be written,
/// nothing else lies below it, it is no origin of copy-on-write snapshots, and nothing is done to it.
///
/// `None` for all else, and for a text that is not understood: then LVM must be asked.
pub fn plain_thin_lv(text: &str, vg: &LvmUuid, lv: &LvmUuid) -> Option<ThinLv> {
    let all = Reader { rest: text }.section(0)?;
    let group = all.sections.iter().map(|(_, section)| section);
    let group = group.into_iter().find(|group| group.is(vg))?;
    let usable = |words: &[&str]| words.contains(&"READ") && words.contains(&"WRITE");
    if group.value("lock_type").is_some() || !usable(group.words("status")?) {
        return None;
    }
    let extent = Sectors(group.number("extent_size")?).bytes()?;
    let lvs = group.child("logical_volumes")?;
    let (name, found) = lvs.sections.iter().find(|(_, section)| section.is(lv))?;
    let mut status = found.words("status")?.to_vec();
    status.sort_unstable();
    let flags = found.words("flags").unwrap_or_default();
    if status != ["READ", "VISIBLE", "WRITE"] || flags.iter().any(|flag| *flag != "ACTIVATION_SKIP")
    {
        return None;
    }
    let segment = found.only_segment()?;
    let known = [
        "start_extent",
        "extent_count",
        "type",
        "thin_pool",
        "transaction_id",
        "device_id",
        "origin",
    ];
    let is_known = |(key, _): &(&str, Value<'_>)| known.contains(key);
    if segment.text("type")? != "thin"
        || segment.number("start_extent")? != 0
        || !segment.values.iter().all(is_known)
        || !segment.sections.is_empty()
    {
        return None;
    }
    let is_origin = lvs.sections.iter().any(|(_, other)| {
        let mut segments = other.sections.iter().map(|(_, segment)| segment);
        segments.any(|s| s.text("type") == Some("snapshot") && s.text("origin") == Some(*name))
    });
    let pool = lvs.child(segment.text("thin_pool")?)?;
    let pool_segment = pool.only_segment()?;
    if is_origin || pool_segment.text("type")? != "thin-pool" {
        return None;
    }
    Some(ThinLv {
        name: name.parse().ok()?,
        size: Bytes(extent.0.checked_mul(segment.number("extent_count")?)?),
        device: u32::try_from(segment.number("device_id")?).ok()?,
        pool: pool.text("id")?.parse().ok()?,
        transaction: pool_segment.number("transaction_id")?,
    })
}

/// The physical volumes of a VG, by the paths that its metadata have of them: they were found there when
/// LVM wrote the text, and may be elsewhere by now.
///
/// `None` for the metadata of another VG, and for a text that is not understood.
pub fn disks_of_vg(text: &str, vg: &LvmUuid) -> Option<Vec<PathBuf>> {
    let all = Reader { rest: text }.section(0)?;
    let group = all.sections.iter().map(|(_, section)| section);
    let group = group.into_iter().find(|group| group.is(vg))?;
    let disks = group.child("physical_volumes")?.sections.iter();
    let paths = disks.filter_map(|(_, disk)| disk.text("device"));
    Some(paths.map(PathBuf::from).collect())
}

/// What stands behind `=`. Escapes in texts stay as they are: nothing that is looked for has any.
#[derive(Debug)]
enum Value<'a> {
    Text(&'a str),
    Number(&'a str),
    List(Vec<&'a str>),
}

#[derive(Debug, Default)]
struct Section<'a> {
    values: Vec<(&'a str, Value<'a>)>,
    sections: Vec<(&'a str, Section<'a>)>,
}

impl<'a> Section<'a> {
    fn value(&self, key: &str) -> Option<&Value<'a>> {
        let mut values = self.values.iter();
        values
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn words(&self, key: &str) -> Option<&[&'a str]> {
        match self.value(key)? {
            Value::List(words) => Some(words),
            _ => None,
        }
    }

    fn child(&self, name: &str) -> Option<&Section<'a>> {
        let mut sections = self.sections.iter();
        sections
            .find(|(found, _)| *found == name)
            .map(|(_, section)| section)
    }

    fn only_segment(&self) -> Option<&Section<'a>> {
        (self.number("segment_count")? == 1 && self.sections.len() == 1)
            .then(|| self.child("segment1"))?
    }

    /// Whether this is what has that identity.
    fn is(&self, uuid: &LvmUuid) -> bool {
        self.text("id")
            .is_some_and(|id| id.parse().as_ref() == Ok(uuid))
    }
}

/// Reads from the front of a text; `None` where it is not as it should be.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// What there is until the end of a section, or of the text for the outermost one.
    fn section(&mut self, depth: usize) -> Option<Section<'a>> {
        let mut section = Section::default();
        loop {
            self.skip_blank();
            if self.rest.is_empty() {
                return (depth == 0).then_some(section);
            }
            if self.takes('}') {
                return (depth > 0).then_some(section);
            }
            let name = self.word()?;
            self.skip_blank();
            if self.takes('=') {
                section.values.push((name, self.value()?));
            } else if depth < DEPTH && self.takes('{') {
                section.sections.push((name, self.section(depth + 1)?));
            } else {
                return None;
            }
        }
    }

    fn value(&mut self) -> Option<Value<'a>> {
        self.skip_blank();
        if self.takes('"') {
            return self.quoted().map(Value::Text);
        }
        if !self.takes('[') {
            return self.word().map(Value::Number);
        }
        let mut words = Vec::new();
        loop {
            self.skip_blank();
            if self.takes(']') {
                return Some(Value::List(words));
            }
            words.push(if self.takes('"') {
                self.quoted()?
            } else {
                self.word()?
            });
            self.skip_blank();
            if !self.takes(',') && !self.rest.starts_with(']') {
                return None;
            }
        }
    }

    /// The rest of a quoted text, behind its first quote.
    fn quoted(&mut self) -> Option<&'a str> {
        let mut escaped = false;
        let end = self.rest.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..)?;
        Some(text)
    }

    fn word(&mut self) -> Option<&'a str> {
        let is_end = |c: char| c.is_whitespace() || "=[]{},\"#".contains(c);
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn skip_blank(&mut self) {
        self.rest = self.rest.trim_start();
        while self.rest.starts_with('#') {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.rest = self.rest[end..].trim_start();
        }
    }

    fn takes(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
