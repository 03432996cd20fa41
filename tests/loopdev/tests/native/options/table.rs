//! docs/options.md says of every option of Gluster's what becomes of images, and is right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use loopdev::{Backing, Place, Rig, Volume, run, wait_for};

use crate::bricks::{TOP, on};
use crate::images::tools::sh_in;

/// What is done under each set of options. `E` is a folder with the bytes that images must have.
const CHANGE: &str = r#"
    cp $E/old a; ln a c; ln -s a s
    dd if=$E/new of=a bs=64k seek=3 conv=notrunc,fsync status=none
    cp $E/old $E/a; dd if=$E/new of=$E/a bs=64k seek=3 conv=notrunc status=none
    cmp a $E/a; cmp c $E/old; cmp s $E/old
    truncate -s 5000 c; truncate -s 9000 c; mv c d; test ! -e c
    cp $E/old $E/d; truncate -s 5000 $E/d; truncate -s 9000 $E/d; cmp d $E/d
    for n in 1 2 3; do dd if=$E/new of=p oflag=append conv=notrunc bs=7777 status=none; done
    for n in 1 2 3; do cat $E/new; done | cmp - p
    dd if=$E/old of=o bs=64k oflag=direct status=none; dd if=o bs=64k iflag=direct status=none | cmp - $E/old
    fallocate -p -o 65536 -l 65536 a
    dd if=/dev/zero of=$E/a bs=64k seek=1 count=1 conv=notrunc status=none; cmp a $E/a
    no fallocate -z -o 200000 -l 4096 a; cmp a $E/a
    mkdir dir; cp a dir/z; ln dir/z dir/y; mv dir/y o; cmp o $E/a
    mkdir mine; chown games mine; cd mine; cp $E/new m; chown games:games m
    setpriv --reuid games --regid games --clear-groups bash -ec 'ln m n; ln -s m q; echo more >> n; cmp m q'
    cmp m $E/new; cd ../..; cp top/a f; ln f g; ln -s f l; test "$(stat -c %h f)" = 2; test -L l; cmp l $E/a
    cd top; test "$(ls | tr '\n' ' ')" = "a d dir mine o p s "
"#;

/// A snapshot is merged.
const MERGE: &str = r#"
    ln -s a t; cp $E/new t; setfattr -n merge -v 1 t; cmp a $E/new; test ! -e t
    cp $E/a a; cmp a $E/a
"#;

/// What a mount that knows nothing of it sees. All is removed.
const LOOK: &str = r#"
    cmp a $E/a; cmp s $E/old; cmp d $E/d; cmp o $E/a; cmp dir/z $E/a; cmp mine/m $E/new
    (cat $E/new; echo more) | cmp - mine/n; cmp mine/q $E/new; cmp ../l $E/a
    test $(($(stat -c %b o) * 512)) -ge 983040
    test "$(ls | tr '\n' ' ')" = "a d dir mine o p s "
    rm -r a d dir mine o p s ../f ../g ../l; test -z "$(ls)"
"#;

/// Under which GlusterFS tells no number of names, and the kernel links no file that has none.
const WITHHELD: [(&str, &str); 2] = [
    ("cluster.consistent-metadata", "on"),
    ("cluster.optimistic-change-log", "off"),
];

/// Each is followed by a link at once, before the kernel asks anew.
const LINKED: &str = r#"
    linked() {
        rm -f link; ln $1 link || { echo "after $2"; exit 1; }
        test $(stat -c %h $1) = $3; rm link
    }
    touch a; linked a touch 1; mkdir d; test $(stat -c %h d) -gt 0; rmdir d
    for what in 'truncate -s 1M' 'chmod 600' 'chown games' 'touch' "python3 -c 'import os, sys; os.truncate(os.open(sys.argv[1], 2), 5)'"; do
        eval "$what a"; linked a "$what" 1
    done
    rm a; python3 -c 'import os; os.mknod("a")'; linked a mknod 1; rm a
    cd ..; touch f; linked f touch 2; ln f g; linked f ln 3; chmod 600 g; linked g chmod 3; rm f g
"#;

/// How many values of an option are tried together with those of others.
const TOGETHER: usize = 3;

/// The heading of what is tried on replicas.
const REPLICATED: &str = "Replicated volumes";
/// The heading of what is tried on several bricks with different files.
const DISTRIBUTED: &str = "Distributed volumes";

/// A row of the page.
#[derive(Debug)]
struct Row {
    heading: String,
    /// Options, and the values that are tried.
    options: Vec<(String, Vec<String>)>,
    verdict: String,
}

impl Row {
    fn is_walked(&self) -> bool {
        ["work", "no matter"]
            .iter()
            .any(|word| self.verdict.starts_with(word))
    }

    /// Whether one release of GlusterFS alone has it.
    fn is_of_one_release(&self) -> bool {
        self.verdict.contains("GlusterFS 1")
    }
}

fn rows() -> Result<Vec<Row>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/options.md");
    let text = fs::read_to_string(page)?;
    let mut heading = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("## ") {
            words.clone_into(&mut heading);
        }
        let Some(row) = line.strip_prefix("| `") else {
            continue;
        };
        let (options, verdict) = row.split_once(" | ").with_context(|| row.to_owned())?;
        let options = options
            .split('`')
            .step_by(2)
            .filter(|text| !text.is_empty());
        let options = options.map(|text| {
            let mut words = text.split(' ').map(str::to_owned);
            (words.next().unwrap_or_default(), words.collect())
        });
        rows.push(Row {
            heading: heading.clone(),
            options: options.collect(),
            verdict: verdict.trim_end_matches(" |").to_owned(),
        });
    }
    Ok(rows)
}

/// All options that this GlusterFS tells of, and those of its groups.
fn known(rig: &Rig, volume: &Volume) -> Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    for words in [
        &["volume", "get", volume.name(), "all"][..],
        &["volume", "get", "all", "all"],
    ] {
        let said = rig.gluster(words)?.ok()?;
        let options = said
            .stdout
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        known.extend(options.filter(|word| word.contains('.')).map(str::to_owned));
    }
    let help = rig.gluster(&["volume", "set", "help"])?.ok()?;
    let options = help
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("Option: "));
    known.extend(options.map(|option| option.trim().to_owned()));
    for group in fs::read_dir("/var/lib/glusterd/groups")? {
        let text = fs::read_to_string(group?.path())?;
        let options = text.lines().filter_map(|line| line.split_once('='));
        known.extend(options.map(|(option, _)| option.to_owned()));
    }
    ensure!(known.len() > 300, "{known:?}");
    Ok(known)
}

#[test]
fn has_every_option() {
    run(
        "native::options::table::has_every_option",
        Place::Native,
        |rig| {
            let disk = rig.filesystem("disk", 512)?;
            rig.glusterd()?;
            let volume = rig.volume("plain", &[disk.join("brick")])?;
            let known = known(rig, &volume)?;
            let rows = rows()?;
            let mut told = BTreeMap::new();
            for row in &rows {
                for (option, _) in &row.options {
                    // A kind of volume may have a row of its own for an option.
                    let twice = told.insert((&row.heading, option), row);
                    ensure!(twice.is_none(), "{option} has two rows in {}", row.heading);
                }
            }
            let told: BTreeSet<&String> = told.keys().map(|(_, option)| *option).collect();
            let missing: Vec<_> = known
                .iter()
                .filter(|option| !told.contains(option))
                .collect();
            ensure!(missing.is_empty(), "docs/options.md lacks {missing:?}");
            for row in &rows {
                // What cannot be set fails the walk.
                let untried = row.options.iter().filter(|(_, values)| values.is_empty());
                let unknown = untried.map(|(option, _)| option);
                let unknown: Vec<_> = unknown.filter(|option| !known.contains(*option)).collect();
                ensure!(
                    row.is_of_one_release() || unknown.is_empty(),
                    "no GlusterFS has {unknown:?}"
                );
            }
            Ok(())
        },
    );
}

/// A volume on which options are set.
pub(super) struct Walk<'a> {
    pub(super) volume: &'a Volume,
    pub(super) top: &'a str,
    pub(super) stores: &'a [PathBuf],
    pub(super) merges: bool,
}

impl Walk<'_> {
    /// Sets all that the page has under a heading, several at once where they are independent, and looks
    /// what becomes of images. With `GBT_OPTIONS` each value is set alone, of the options whose names
    /// begin so.
    fn under(&self, rig: &mut Rig, heading: &str) -> Result<()> {
        let mut rounds: Vec<Vec<(String, String)>> = Vec::new();
        let alone = std::env::var("GBT_OPTIONS").ok();
        let known = known(rig, self.volume)?;
        let rows = rows()?;
        let rows = rows
            .iter()
            .filter(|row| row.heading == heading && row.is_walked());
        let options = rows.flat_map(|row| {
            let is_here =
                |option: &String| !row.is_of_one_release() || known.contains(option.as_str());
            let options = row.options.iter();
            options.filter(move |(option, _)| is_here(option))
        });
        for (option, values) in options {
            for (number, value) in values.iter().enumerate() {
                let setting = (option.clone(), value.clone());
                match &alone {
                    Some(part) if option.starts_with(part.as_str()) => rounds.push(vec![setting]),
                    Some(_) => {}
                    None if number >= TOGETHER => {}
                    None if rounds.len() <= number => rounds.push(vec![setting]),
                    None => rounds[number].push(setting),
                }
            }
        }
        ensure!(
            alone.is_some() || !rounds.is_empty(),
            "nothing under {heading:?}"
        );
        let mut failed = Vec::new();
        for round in &rounds {
            let walked = self.set(rig, round).and_then(|()| self.live(rig));
            if let Err(error) = walked {
                let what = anyhow!("{round:?}: {error:#}");
                ensure!(alone.is_some(), what);
                println!("measured: {what}");
                failed.push(what.to_string());
            }
            if alone.is_some() {
                for (option, _) in round {
                    rig.gluster(&["volume", "reset", self.volume.name(), option])?
                        .ok()?;
                }
            }
        }
        println!("measured: {heading}: {} sets of options", rounds.len());
        ensure!(failed.is_empty(), "{failed:#?}");
        Ok(())
    }

    /// Sets all of Gluster's groups of options, one after the other, some of which switch sharding on and
    /// the cache of names that are not there.
    fn groups(&self, rig: &mut Rig) -> Result<()> {
        let volume = self.volume.name();
        let mut groups: Vec<_> = fs::read_dir("/var/lib/glusterd/groups")?
            .flatten()
            .collect();
        groups.sort_by_key(fs::DirEntry::file_name);
        ensure!(groups.len() > 6, "{groups:?}");
        for group in groups {
            let group = group.file_name().to_string_lossy().into_owned();
            rig.gluster(&["volume", "set", volume, "group", &group])?
                .ok()?;
            wait_for("sharding to be off", || {
                let said = rig
                    .gluster(&["volume", "get", volume, "features.shard"])?
                    .ok()?;
                Ok(said.stdout.contains(" off"))
            })?;
        }
        self.volume.stop()?;
        self.volume.start()?;
        self.live(rig)
    }

    /// Links files right after each operation whose answer tells their attributes.
    fn links_at_once(&self, rig: &mut Rig) -> Result<()> {
        let options = WITHHELD.map(|(option, value)| (option.to_owned(), value.to_owned()));
        self.set(rig, &options)?;
        let mount = rig.mount(self.volume, &[])?;
        sh_in(&mount.join(self.top), LINKED)?;
        rig.unmount(&mount)
    }

    fn set(&self, rig: &Rig, round: &[(String, String)]) -> Result<()> {
        let mut words = vec!["volume", "set", self.volume.name()];
        for (option, value) in round {
            words.extend([option.as_str(), value.as_str()]);
        }
        // Some cannot be set while it runs.
        self.volume.stop()?;
        rig.gluster(&words)?.ok()?;
        self.volume.start()
    }

    /// Has images live, and looks at every byte.
    pub(super) fn live(&self, rig: &mut Rig) -> Result<()> {
        let bytes = rig.folder("bytes")?;
        sh_in(
            &bytes,
            "head -c 1M /dev/urandom > old; head -c 300000 /dev/urandom > new",
        )?;
        let merge = if self.merges { MERGE } else { "" };
        for steps in [&[CHANGE, merge][..], &[LOOK]] {
            let mount = rig.mount(self.volume, &[])?;
            let script = steps.concat().replace("top", self.top);
            sh_in(
                &mount.join(self.top),
                &format!("export E={}\n{script}", bytes.display()),
            )?;
            rig.unmount(&mount)?;
        }
        fs::remove_dir_all(&bytes)?;
        wait_for("the volumes to go", || {
            let mut left = 0;
            for store in self.stores {
                let names = fs::read_dir(store)?
                    .flatten()
                    .map(|entry| entry.file_name());
                left += names
                    .filter(|name| !name.to_string_lossy().starts_with('.'))
                    .count();
            }
            Ok(left == 0)
        })
    }
}

#[test]
fn is_walked() {
    run("native::options::table::is_walked", Place::Native, |rig| {
        let bed = rig.bed(Backing::File, 512)?;
        let (volume, top) = (bed.volume.clone(), bed.top().to_owned());
        let loopdev::Store::Folder(store) = bed.store.clone() else {
            anyhow::bail!("the store is no folder");
        };
        let walk = Walk {
            volume: &volume,
            top: &top,
            stores: &[store],
            merges: true,
        };
        walk.under(bed.rig, "Volumes of all kinds")?;
        // What the filter leaves out of the volfiles.
        let harmful = [
            ("network.compression", "on"),
            ("performance.nl-cache", "on"),
            ("performance.nl-cache-positive-entry", "on"),
            ("performance.nl-cache-timeout", "600"),
        ];
        let harmful = harmful.map(|(option, value)| (option.to_owned(), value.to_owned()));
        walk.set(bed.rig, &harmful)?;
        walk.live(bed.rig)?;
        bed.check()
    });
}

fn walk_on_bricks(name: &str, words: &[&str], bricks: usize, merges: bool, heading: &str) {
    on(name, words, bricks, |rig, bricks| {
        let walk = Walk {
            volume: &bricks.volume,
            top: TOP,
            stores: &bricks.stores,
            merges,
        };
        walk.under(rig, heading)?;
        if heading == REPLICATED {
            walk.links_at_once(rig)?;
            walk.groups(rig)?;
        }
        if heading == DISTRIBUTED {
            walk.set(rig, &[("cluster.nufa".to_owned(), "on".to_owned())])?;
            walk.live(rig)?;
        }
        wait_for("the mount", || Ok(bricks.mount.join(TOP).exists()))?;
        bricks.check()
    });
}

#[test]
fn is_walked_on_replicas() {
    walk_on_bricks("options-replicated", &["replica", "3"], 3, true, REPLICATED);
}

#[test]
fn is_walked_on_pieces() {
    let words = ["disperse", "3", "redundancy", "1"];
    walk_on_bricks("options-dispersed", &words, 3, false, "Dispersed volumes");
}

#[test]
fn is_walked_on_parts() {
    walk_on_bricks("options-distributed", &[], 2, true, DISTRIBUTED);
}
