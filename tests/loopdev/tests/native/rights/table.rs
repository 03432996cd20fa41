//! The table of docs/rights.md, walked: each key, on what it is for, by each way and user.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use loopdev::{Bed, cmd};
use nix::libc::{EACCES, EINVAL};

use super::{OWNER, Way, gfid, let_users_in, line, squash, text, through};

/// Who is asked for in a cell, from the least to the most.
const LEVELS: [&str; 6] = ["anybody", "reader", "writer", "owner", "root", "nobody"];
/// The group of the writers.
const GROUP: u32 = 2000;

/// Users, by the level that they have of the files here, and with which mode.
const USERS: [(&str, &str, u32); 5] = [
    ("anybody", "1003", 0o660),
    ("reader", "1002", 0o664),
    ("writer", "1001,2000", 0o664),
    ("owner", "1000", 0o664),
    ("root", "0", 0o664),
];

#[derive(Clone, Debug)]
struct Row {
    key: String,
    on: String,
    through: String,
    /// Who sets, reads and removes it.
    who: [usize; 3],
}

const OPS: [&str; 3] = ["set", "get", "remove"];

fn rows() -> Result<Vec<Row>> {
    let document = include_str!("../../../../../docs/rights.md");
    let mut rows = Vec::new();
    for text in document.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = text.trim_matches('|').split('|').map(str::trim).collect();
        let [key, on, through, who @ ..] = &cells[..] else {
            bail!("{text}");
        };
        let level = |word: &&str| LEVELS.iter().position(|level| level == word);
        let who: Option<Vec<usize>> = who.iter().map(level).collect();
        rows.push(Row {
            key: key.trim_matches('`').to_owned(),
            on: (*on).to_owned(),
            through: (*through).to_owned(),
            who: who.and_then(|who| who.try_into().ok()).context(text)?,
        });
    }
    Ok(rows)
}

/// The keys that the code knows.
fn keys() -> BTreeSet<String> {
    let code = include_str!("../../../../../src/model/xattr.rs");
    let keys = code.lines().filter_map(|line| {
        let (_, value) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
        Some(value.strip_suffix("\";")?.to_owned())
    });
    keys.filter(|key| key != bd_model::xattr::DHT_LINKTO)
        .collect()
}

/// Makes what an attempt needs.
struct Maker<'a, 'b> {
    bed: &'a Bed<'b>,
    mode: u32,
    count: u32,
    /// Objects that attempts change nothing of, by what they are.
    shared: HashMap<String, Object>,
}

/// What an attempt is made on.
#[derive(Clone, Debug)]
struct Object {
    /// From the volume's root.
    path: String,
    /// What is set.
    value: String,
}

impl<'a, 'b> Maker<'a, 'b> {
    fn new(bed: &'a Bed<'b>, mode: u32, count: u32) -> Maker<'a, 'b> {
        Maker {
            bed,
            mode,
            count,
            shared: HashMap::new(),
        }
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("{}-{:o}", self.count, self.mode)
    }

    fn host(&self, path: &str) -> PathBuf {
        self.bed.root().join(path.trim_start_matches('/'))
    }

    fn give(&self, path: &str, mode: u32) -> Result<()> {
        let host = self.host(path);
        std::os::unix::fs::chown(&host, Some(OWNER), Some(GROUP))?;
        fs::set_permissions(&host, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        Ok(())
    }

    /// A file, an image in the image directory.
    fn file(&mut self, folder: &str) -> Result<String> {
        let path = format!("{folder}/{}", self.name());
        fs::write(self.host(&path), "")?;
        self.give(&path, self.mode)?;
        Ok(path)
    }

    /// An object that stays what it is: the same for each attempt.
    fn shared(&mut self, row: &Row, user: u32) -> Result<Object> {
        if let Some(object) = self.shared.get(&row.on) {
            return Ok(object.clone());
        }
        let object = self.object(row, user)?;
        self.shared.insert(row.on.clone(), object.clone());
        Ok(object)
    }

    fn object(&mut self, row: &Row, user: u32) -> Result<Object> {
        let images = format!("/{}/walk", self.bed.top());
        let path = match row.on.as_str() {
            "plain file" => self.file("/walk")?,
            "image" => self.file(&images)?,
            "directory" => {
                let path = format!("{images}/{}", self.name());
                fs::create_dir(self.host(&path))?;
                self.give(&path, self.mode | (self.mode >> 2 & 0o111))?;
                path
            }
            "snapshot" => {
                let origin = self.file(&images)?;
                let path = format!("{images}/{}", self.name());
                let target = origin.rsplit('/').next().unwrap_or_default();
                std::os::unix::fs::symlink(target, self.host(&path))?;
                self.give(&path, self.mode)?;
                return Ok(Object {
                    value: match row.key.as_str() {
                        "merge" => "1".to_owned(),
                        _ => gfid(&self.host(&origin))?,
                    },
                    path,
                });
            }
            other => bail!("on {other}"),
        };
        let value = match row.key.as_str() {
            "user.glusterfs.bd" => "thin:1M".to_owned(),
            "user.glusterfs.bd.dir" => "lv".to_owned(),
            // A copy of an image that the caller may read.
            "glusterfs.bd.copy-of" => {
                let image = self.file(&images)?;
                gfid(&self.host(&image))?
            }
            "glusterfs.bd.snapshot-as" => format!("4096 /{}/open/{}", self.bed.top(), self.name()),
            // Into a file of the caller's own.
            _ => {
                let own = self.file("/walk")?;
                std::os::unix::fs::chown(self.host(&own), Some(user), None)?;
                gfid(&self.host(&own))?
            }
        };
        Ok(Object { path, value })
    }
}

/// How an attempt is made: on a mount, or by `gfapi-as`, with what stands before the operation there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Mount,
    Gfapi(Way, &'static str),
}

/// The ways of a row.
fn ways(row: &Row) -> Result<Vec<How>> {
    let client = [
        How::Mount,
        How::Gfapi(Way::Client, ""),
        How::Gfapi(Way::Client, "h"),
    ];
    let bare = [How::Gfapi(Way::Bare, ""), How::Gfapi(Way::Bare, "h")];
    let open = [How::Gfapi(Way::Client, "f"), How::Gfapi(Way::Bare, "f")];
    Ok(match row.through.as_str() {
        "bd-client" => client.to_vec(),
        "bare client" => bare.to_vec(),
        "any client" => [&client[..], &bare, &open].concat(),
        other => bail!("through {other}"),
    })
}

/// One attempt, and where.
struct Attempt {
    row: Row,
    op: usize,
    how: How,
    object: Object,
}

impl Attempt {
    fn line(&self, how: &str) -> String {
        let op = format!("{how}{}", OPS[self.op]);
        line(&[&op, &self.object.path, &self.row.key, &self.object.value])
    }

    /// Makes it on the mount.
    fn on_mount(&self, bed: &Bed<'_>, ids: &str) -> Result<i32> {
        let path = bed.root().join(self.object.path.trim_start_matches('/'));
        let (key, path) = (self.row.key.as_str(), text(&path)?);
        let words = match OPS[self.op] {
            "set" => vec!["setfattr", "-n", key, "-v", &self.object.value, path],
            "get" => vec!["getfattr", "-n", key, path],
            _ => vec!["setfattr", "-x", key, path],
        };
        let (user, _) = ids.split_once(',').unwrap_or((ids, ""));
        let who = ["--reuid", user, "--regid", user, "--groups", ids];
        let output = cmd("setpriv", &[&who[..], &words].concat())?;
        Ok(match output.code {
            0 => 0,
            _ if output.stderr.contains("Invalid argument") => EINVAL,
            _ => EACCES,
        })
    }
}

/// What is wrong with one answer.
fn judge(attempt: &Attempt, level: usize, code: i32) -> Option<String> {
    let Attempt { row, op, how, .. } = attempt;
    // The kernel wants the rights to read or write of anybody.
    let kernel = match (how, OPS[*op]) {
        (How::Mount, "get") => 1,
        (How::Mount, _) => 2,
        (How::Gfapi(..), _) => 0,
    };
    let may = level >= row.who[*op].max(kernel);
    // Only copy-on-write snapshots have a space, and this is none.
    let right = match row.key.as_str() {
        "glusterfs.bd.snapshot-as" if may => code == EINVAL,
        "glusterfs.bd.snapshot-as" => code != EINVAL && code != 0,
        _ => (code == 0) == may,
    };
    let expected = if may { "may" } else { "may not" };
    (!right).then(|| {
        format!(
            "{} of {} ({}): {} {expected}, errno {code}",
            OPS[*op], row.key, row.on, LEVELS[level]
        )
    })
}

/// All attempts of a row, each on an object of its own if somebody may change that.
fn attempts(maker: &mut Maker<'_, '_>, row: &Row, ways: &[How], user: u32) -> Result<Vec<Attempt>> {
    let mut attempts = Vec::new();
    for how in ways {
        for (op, name) in OPS.iter().enumerate() {
            let object = match (*name, LEVELS[row.who[op]]) {
                ("get", _) | (_, "nobody") => maker.shared(row, user)?,
                _ => maker.object(row, user)?,
            };
            attempts.push(Attempt {
                row: row.clone(),
                op,
                how: *how,
                object,
            });
        }
    }
    Ok(attempts)
}

/// Makes the attempts as a user of a level, and tells what is wrong.
fn make_all(bed: &Bed<'_>, all: &[Attempt], ids: &str, level: usize) -> Result<Vec<String>> {
    let mut answers = Vec::new();
    for way in [Way::Client, Way::Bare] {
        let of_way = all.iter().filter_map(|attempt| match attempt.how {
            How::Gfapi(it, how) if it == way => Some((attempt, attempt.line(how))),
            How::Gfapi(..) | How::Mount => None,
        });
        let (of_way, lines): (Vec<&Attempt>, Vec<String>) = of_way.unzip();
        if !lines.is_empty() {
            let told = through(bed, way, ids, &lines)?;
            answers.extend(
                of_way
                    .into_iter()
                    .zip(told.into_iter().map(|(code, _)| code)),
            );
        }
    }
    for attempt in all.iter().filter(|attempt| attempt.how == How::Mount) {
        answers.push((attempt, attempt.on_mount(bed, ids)?));
    }
    let wrong = answers.into_iter().filter_map(|(attempt, code)| {
        let fault = judge(attempt, level, code)?;
        Some(format!("user {ids}, {:?}: {fault}", attempt.how))
    });
    Ok(wrong.collect())
}

pub(super) fn is_walked(bed: &mut Bed<'_>) -> Result<()> {
    let known: BTreeSet<String> = rows()?.into_iter().map(|row| row.key).collect();
    ensure!(
        known == keys(),
        "docs/rights.md: {known:?}\nsrc/model/xattr.rs: {:?}",
        keys()
    );
    let_users_in(bed)?;
    let folders = [
        (bed.root().join("walk"), "775"),
        (bed.at("walk"), "775"),
        (bed.at("open"), "777"),
    ];
    for (folder, mode) in &folders {
        fs::create_dir(folder)?;
        cmd("chown", &["1000:2000", text(folder)?])?.ok()?;
        cmd("chmod", &[mode, text(folder)?])?.ok()?;
    }
    let (mut wrong, mut made, mut count) = (Vec::new(), 0, 0);
    for (level, (name, ids, mode)) in USERS.into_iter().enumerate() {
        ensure!(LEVELS[level] == name);
        let mut maker = Maker::new(bed, mode, count);
        let mut all = Vec::new();
        for row in rows()? {
            let user = ids.split(',').next().unwrap_or_default().parse()?;
            all.extend(attempts(&mut maker, &row, &ways(&row)?, user)?);
        }
        wrong.extend(make_all(bed, &all, ids, level)?);
        (made, count) = (made + all.len(), maker.count);
    }
    // Root who is squashed is one who has no rights. The objects are made before that.
    let mut maker = Maker::new(bed, 0o660, count);
    let mut all = Vec::new();
    for row in rows()?.into_iter().filter(|row| row.through != "bd-client") {
        let bare = ["", "f", "h"].map(|how| How::Gfapi(Way::Bare, how));
        all.extend(attempts(&mut maker, &row, &bare, 0)?);
    }
    squash(bed, true)?;
    let squashed = make_all(bed, &all, "0", 0);
    squash(bed, false)?;
    wrong.extend(squashed?);
    println!("measured: {} attempts", made + all.len());
    ensure!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}
