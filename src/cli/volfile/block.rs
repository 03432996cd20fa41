use std::fmt;

/// A translator in a volfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The name, by which other blocks refer to it.
    pub name: String,
    /// The type, as in `storage/posix`.
    pub kind: String,
    /// The options, in order; values are the rest of the line.
    pub options: Vec<(String, String)>,
    /// The names of the translators below it.
    pub subvolumes: Vec<String>,
}

impl Block {
    /// A translator on top of another.
    pub fn on_top_of(below: &str, name: String, kind: &str) -> Block {
        Block {
            name,
            kind: kind.to_owned(),
            options: Vec::new(),
            subvolumes: vec![below.to_owned()],
        }
    }

    /// The value of an option.
    pub fn option(&self, key: &str) -> Option<&str> {
        let found = self.options.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "volume {}", self.name)?;
        writeln!(f, "    type {}", self.kind)?;
        for (key, value) in &self.options {
            writeln!(f, "    option {key} {value}")?;
        }
        if !self.subvolumes.is_empty() {
            writeln!(f, "    subvolumes {}", self.subvolumes.join(" "))?;
        }
        writeln!(f, "end-volume")
    }
}
