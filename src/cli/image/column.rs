//! What a list of images shows of each.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bd_model::{Bytes, Gfid, ImageKind, LvName};
use clap::ValueEnum;
use serde::Serialize;

use super::report::ImageReport;
use super::walk::Listed;

/// An image in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// What its directory shows.
    #[serde(flatten)]
    pub(crate) listed: Listed,
    /// What its brick knows, where a column asks for that.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) more: Option<More>,
}

/// What only an image's brick knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct More {
    kind: ImageKind,
    gfid: Gfid,
    lv: LvName,
    lv_size: Bytes,
    pool: Option<LvName>,
    origin: Option<LvName>,
}

impl From<ImageReport> for More {
    fn from(report: ImageReport) -> More {
        let known = report.known;
        More {
            kind: known.kind,
            gfid: known.gfid,
            lv: known.lv,
            lv_size: known.lv_size,
            pool: known.pool,
            origin: known.origin,
        }
    }
}

/// A column of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Column {
    /// The path
    Image,
    /// Bytes of the file
    Size,
    /// Bytes that are allocated to it, shared ones among them
    Allocated,
    /// When it was written last
    Modified,
    /// thin or lv
    Kind,
    /// Its logical volume
    Lv,
    /// Bytes of the logical volume
    LvSize,
    /// Its thin pool
    Pool,
    /// The logical volume that it is a snapshot of
    Origin,
    /// Gluster's number for it
    Gfid,
}

/// Columns in their order: `a,b` or, after those that are usual, `+a,b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns(pub(crate) Vec<Column>);

/// A column that rows are sorted by: `a` or, the largest first, `-a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    column: Column,
    is_reversed: bool,
}

impl Column {
    /// Whether a brick must be asked about each image.
    pub(crate) fn asks_bricks(self) -> bool {
        !matches!(
            self,
            Column::Image | Column::Size | Column::Allocated | Column::Modified
        )
    }

    /// Whether it is a number.
    pub(crate) fn is_right(self) -> bool {
        matches!(self, Column::Size | Column::Allocated | Column::LvSize)
    }

    /// What stands above it.
    pub(crate) fn heading(self) -> String {
        self.name().to_uppercase()
    }

    fn name(self) -> String {
        let name = self.to_possible_value();
        name.map_or_else(String::new, |name| name.get_name().to_owned())
    }

    /// What it says of an image.
    pub(crate) fn cell(self, row: &Row) -> String {
        let of = |get: &dyn Fn(&More) -> String| row.more.as_ref().map_or_else(String::new, get);
        let name =
            |name: &Option<LvName>| name.as_ref().map_or_else(String::new, ToString::to_string);
        match self {
            Column::Image => row.listed.path.clone(),
            Column::Size => row.listed.size.to_string(),
            Column::Allocated => row.listed.allocated.to_string(),
            Column::Modified => i64::try_from(row.listed.modified)
                .ok()
                .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
                .map_or_else(String::new, |time| {
                    let zoned = time.to_zoned(jiff::tz::TimeZone::system());
                    zoned.strftime("%F %T").to_string()
                }),
            Column::Kind => of(&|more| more.kind.to_string()),
            Column::Lv => of(&|more| more.lv.to_string()),
            Column::LvSize => of(&|more| more.lv_size.to_string()),
            Column::Pool => of(&|more| name(&more.pool)),
            Column::Origin => of(&|more| name(&more.origin)),
            Column::Gfid => of(&|more| more.gfid.to_string()),
        }
    }
}

impl Sort {
    /// The column that it is by.
    pub(crate) fn column(&self) -> Column {
        self.column
    }

    /// Which of two rows comes first.
    pub(crate) fn order(&self, a: &Row, b: &Row) -> Ordering {
        let lv_size = |row: &Row| row.more.as_ref().map(|more| more.lv_size);
        let order = match self.column {
            Column::Size => a.listed.size.cmp(&b.listed.size),
            Column::Allocated => a.listed.allocated.cmp(&b.listed.allocated),
            Column::Modified => a.listed.modified.cmp(&b.listed.modified),
            Column::LvSize => lv_size(a).cmp(&lv_size(b)),
            column => column.cell(a).cmp(&column.cell(b)),
        };
        match self.is_reversed {
            true => order.reverse(),
            false => order,
        }
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|column| column.name()).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Columns, String> {
        let (mut columns, text) = match text.strip_prefix('+') {
            Some(more) => (Columns::default().0, more),
            None => (Vec::new(), text),
        };
        for name in text.split(',') {
            columns.push(column(name)?);
        }
        Ok(Columns(columns))
    }
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Sort, String> {
        let (is_reversed, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        Ok(Sort {
            column: column(name)?,
            is_reversed,
        })
    }
}

impl Default for Columns {
    fn default() -> Columns {
        Columns(vec![Column::Image, Column::Size, Column::Allocated])
    }
}

fn column(name: &str) -> Result<Column, String> {
    Column::from_str(name, false).map_err(|_| {
        let all = Column::value_variants().iter().map(|column| column.name());
        let all: Vec<String> = all.collect();
        format!("{name:?} is no column; there are {}", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, size: u64, origin: Option<&str>) -> Row {
        Row {
            listed: Listed {
                path: path.to_owned(),
                size: Bytes(size),
                allocated: Bytes(0),
                modified: 0,
            },
            more: origin.map(|origin| More {
                kind: ImageKind::Thin,
                gfid: Gfid::from_bytes([7; 16]),
                lv: "lv".parse().unwrap(),
                lv_size: Bytes(4 << 20),
                pool: None,
                origin: Some(origin.parse().unwrap()),
            }),
        }
    }

    #[test]
    fn columns_are_chosen_as_those_of_lvs() {
        let names = |text: &str| text.parse::<Columns>().map(|columns| columns.0);
        assert_eq!(names("lv,size"), Ok(vec![Column::Lv, Column::Size]));
        let more = [Columns::default().0, vec![Column::LvSize]].concat();
        assert_eq!(names("+lv_size"), Ok(more));
        for text in ["", "+", "nothing", "size,"] {
            assert!(names(text).unwrap_err().contains("modified, kind, lv"));
        }
        assert!(Column::Origin.asks_bricks() && !Column::Modified.asks_bricks());
    }

    #[test]
    fn rows_are_sorted_by_numbers_and_words() {
        let mut rows = [row("/b", 900, Some("x")), row("/a", 1000, None)];
        let mut sorted = |by: &str| {
            let sort: Sort = by.parse().unwrap();
            rows.sort_by(|a, b| sort.order(a, b));
            rows.each_ref().map(|row| row.listed.path.clone())
        };
        assert_eq!(sorted("size"), ["/b", "/a"]);
        assert_eq!(sorted("-size"), ["/a", "/b"]);
        assert_eq!(sorted("-image"), ["/b", "/a"]);
        assert_eq!(sorted("origin"), ["/a", "/b"]);
        assert!("--size".parse::<Sort>().is_err());
    }

    #[test]
    fn what_was_not_asked_is_empty() {
        assert_eq!(Column::Origin.cell(&row("/a", 1, None)), "");
        assert_eq!(Column::Origin.cell(&row("/a", 1, Some("base"))), "base");
        assert!(Column::Modified.cell(&row("/a", 1, None)).starts_with("19"));
    }
}
