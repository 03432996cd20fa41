//! The command blocks of docs/operations.md, and who runs them.
//!
//! The line before a block is a comment that says so: `<!-- native -->` and `<!-- guest -->` are
//! run by the tests of that place, one after the other; `<!-- cluster: HOST... -->` is run on each of these
//! hosts of a cluster, and `<!-- cluster, refused: HOST -->` must fail there; `<!-- as: TEST -->` is what another
//! test does with names of its own; `<!-- not run: WHY -->` cannot be run by a test.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use loopdev::sh;

/// What stands before the hosts that run a block, and before the host that must refuse it.
pub(crate) const CLUSTER: &str = "cluster: ";
pub(crate) const REFUSED: &str = "cluster, refused: ";

/// A block of the manual.
#[derive(Debug)]
pub(crate) struct Block {
    /// The heading above it.
    pub(crate) section: String,
    /// Who runs it.
    pub(crate) marker: String,
    /// Its lines.
    pub(crate) text: String,
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// All blocks; fails on one without a comment before it, or with one that makes no sense.
pub(crate) fn blocks() -> Result<Vec<Block>> {
    let text = std::fs::read_to_string(file("docs/operations.md"))?;
    let mut blocks = Vec::new();
    let mut section = String::new();
    let mut marker = String::new();
    let mut block = String::new();
    for line in text.lines().chain(["end"]) {
        match line.strip_prefix("    ") {
            Some(code) => block.push_str(&format!("{code}\n")),
            None if line.trim().is_empty() => {}
            None => {
                if !block.is_empty() {
                    ensure!(!marker.is_empty(), "nothing says who runs this: {block}");
                    blocks.push(Block {
                        section: section.clone(),
                        marker: std::mem::take(&mut marker),
                        text: std::mem::take(&mut block),
                    });
                }
                if line.starts_with('#') {
                    line.trim_start_matches(['#', ' ']).clone_into(&mut section);
                }
                let comment = line
                    .strip_prefix("<!-- ")
                    .and_then(|l| l.strip_suffix(" -->"));
                marker = comment.unwrap_or_default().to_owned();
            }
        }
    }
    check(&blocks)?;
    Ok(blocks)
}

/// Fails unless each comment is one of those above, with a test that exists.
fn check(blocks: &[Block]) -> Result<()> {
    for Block { marker, text, .. } in blocks {
        if let Some(test) = marker.strip_prefix("as: ") {
            let (module, test) = test.split_once("::").unwrap_or(("commands", test));
            let found = ["guest", "native"].iter().any(|place| {
                let path = format!("tests/loopdev/tests/{place}/{module}.rs");
                let source = std::fs::read_to_string(file(&path)).unwrap_or_default();
                source.contains(&format!("fn {test}("))
            });
            ensure!(found, "there is no test {test}: {text}");
        } else if !(["native", "guest"].contains(&marker.as_str())
            || ["not run: ", CLUSTER, REFUSED]
                .iter()
                .any(|start| marker.starts_with(start)))
        {
            bail!("{marker:?} says not who runs this: {text}");
        }
    }
    Ok(())
}

/// Runs the blocks of a place in order, with other names and with M for G in sizes.
pub(crate) fn run_blocks(blocks: &[Block], place: &str, names: &[(&str, &str)]) -> Result<()> {
    for block in blocks.iter().filter(|block| block.marker == place) {
        let mut text = small(&block.text);
        for (from, to) in names {
            text = text.replace(from, to);
        }
        sh(&format!("set -e\n{text}")).with_context(|| format!("the manual says: {text}"))?;
        println!(
            "measured: ran a block of {} lines below {:?}",
            block.text.lines().count(),
            block.section
        );
    }
    Ok(())
}

/// 20G is 20M: a test has small disks.
pub(crate) fn small(text: &str) -> String {
    let mut result = String::new();
    let mut digit = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let last = letters.peek().is_none_or(|next| !next.is_alphanumeric());
        result.push(if letter == 'G' && digit && last {
            'M'
        } else {
            letter
        });
        digit = letter.is_ascii_digit();
    }
    result
}
