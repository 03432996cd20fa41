//! The front: `gluster bd` is gluster-bd, and all else is the stock program, unchanged.

use anyhow::{Result, ensure};
use loopdev::{Output, Place, cmd, run, sh};

use crate::commands;
use crate::typed::{self, Bed};

const STOCK: &str = "/usr/sbin/gluster";
const FRONT: &str = "/usr/local/sbin/gluster";

/// Both programs end alike and say the same.
fn alike(words: &[&str]) -> Result<()> {
    let (front, stock) = (cmd(FRONT, words)?, cmd(STOCK, words)?);
    same(&front, &stock)
}

fn same(front: &Output, stock: &Output) -> Result<()> {
    let parts = |output: &Output| (output.code, output.stdout.clone(), output.stderr.clone());
    ensure!(parts(front) == parts(stock), "{front}\n{stock}");
    Ok(())
}

#[test]
fn the_front_changes_nothing_of_the_stock_program() {
    let name = "native::the_front_changes_nothing_of_the_stock_program";
    run(name, Place::Native, |rig| {
        let (bed, ..) = commands::bed(rig)?;
        let volume = bed.volume.name();
        ensure!(sh("command -v gluster")?.stdout == FRONT);
        for words in [
            &["--version"][..],
            &["help"],
            &["--help"],
            &["volume"],
            &["volume", "help"],
            &["volume", "list"],
            &["volume", "info", volume],
            &["volume", "info", "nothere"],
            &["volume", "nonsense"],
            &["nonsense"],
            &["--nonsense"],
            &["--xml", "volume", "info", volume],
            &["volume", "info", volume, "--xml"],
            &["--mode=script", "volume", "info", "nothere", "--xml"],
            &["--mode=script", "--remote-host=localhost", "volume", "list"],
            &["volume", "create", "v2"],
            &["volume", "create", "v2", "device"],
            &["volume", "add-brick", volume],
            // Words with blanks stay one word.
            &["volume", "set", volume, "user.note", "a  b"],
            &["volume", "get", volume, "user.note"],
        ] {
            alike(words)?;
        }
        let note = cmd(FRONT, &["volume", "get", volume, "user.note"])?.ok()?;
        ensure!(note.stdout.contains("a  b"), "{note}");
        let xml = cmd(FRONT, &["volume", "info", volume, "--xml"])?.ok()?;
        ensure!(xml.stdout.starts_with("<?xml"), "{xml}");
        // The shell, with commands from a pipe and on a terminal.
        for shell in [
            "printf 'volume list\\nvolume info nothere\\nquit\\n' | PROGRAM",
            "printf 'volume list\\nquit\\n' | PROGRAM --mode=script",
            "printf 'volume list\\nquit\\n' | script -qec PROGRAM /dev/null",
        ] {
            let said = |program| {
                let line = shell.replace("PROGRAM", program);
                sh(&format!("({line}) 2>&1 && echo done || echo ended $?"))
            };
            // A terminal may echo the words before a program listens.
            let begins = |said: &Output| said.stdout.find("Welcome").unwrap_or(0);
            let (front, stock) = (said(FRONT)?, said(STOCK)?);
            let (of_front, of_stock) = (begins(&front), begins(&stock));
            ensure!(
                front.stdout.get(of_front..) == stock.stdout.get(of_stock..),
                "{front}\n{stock}"
            );
            ensure!(front.stdout.contains(volume), "{front}");
        }
        ours(&bed)
    });
}

/// What the front gives to gluster-bd.
fn ours(bed: &Bed) -> Result<()> {
    let gluster = |words: &str, code: i32, said: &str| -> Result<()> {
        let output = typed::line(bed, FRONT, words)?;
        let heard = output.stdout.contains(said) || output.stderr.contains(said);
        ensure!(output.code == code && heard, "{code}, {said:?}: {output}");
        Ok(())
    };
    for help in ["bd help", "bd --help", "--mode=script bd help"] {
        gluster(help, 0, "Serve logical volumes as files")?;
    }
    gluster("bd", 2, "Usage: gluster-bd")?;
    gluster("bd help create", 0, "Make an image")?;
    gluster("bd crate vms:x 4", 2, "'create'")?;
    gluster("bd create vms:/top/x 4MB", 0, "created vms:/top/x")?;
    gluster("bd create vms:/top/x 4MB", 5, "exists already")?;
    gluster("bd info vms:nothere", 3, "no such file")?;
    gluster("--remote-host=localhost bd list vms", 0, "/top/x")?;
    gluster("bd list vms --json", 0, "\"path\": \"/top/x\"")?;
    gluster("--xml bd list vms", 2, "--xml")?;
    gluster(
        "volume add-brick vms nothere:/d/b?vg0",
        5,
        "peer probe nothere",
    )?;
    // An image may be called as the command is.
    gluster("bd create vms:bd 4", 0, "created vms:/top/bd")?;
    gluster("bd rename vms:bd bd", 5, "exists already")?;
    gluster("--mode=script bd delete vms:/top/x vms:bd", 0, "deleted")
}
