//! A virtual machine that does nothing but write to its disk, under QEMU.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use loopdev::wait_for;
use serde_json::{Value, json};

/// Bytes of one write of the machine; the first four of them are the number of its first sector.
pub(crate) const BLOCK: u64 = 64 * 512;

/// A boot sector (x86, real mode) that writes blocks of 64 sectors to the second disk by the BIOS
/// (interrupt 13h, function 43h), from sector 0 to `end`. Then it says D to the debug console at
/// port E9h, or F as soon as a write fails.
fn boot_sector(end: u32) -> Vec<u8> {
    const HEAD: &[u8] = &[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c];
    // What the addresses below are counted from, and how long the program is.
    const PACKET: u16 = 0x7c00 + 61;
    let sector = (PACKET + 8).to_le_bytes();
    let packet = PACKET.to_le_bytes();
    let mut code = HEAD.to_vec(); // ds, ss and the stack
    code.extend([0x66, 0xa1, sector[0], sector[1]]); // again: eax = the sector
    code.extend([0x66, 0xa3, 0x00, 0x80]); // at the start of the buffer at 8000h
    code.extend([0xbe, packet[0], packet[1]]); // si = the packet
    code.extend([0xb4, 0x43, 0xb0, 0x00, 0xb2, 0x81, 0xcd, 0x13]); // write to disk 81h
    code.extend([0x72, 0x18]); // failed: go to the end
    code.extend([0x66, 0x83, 0x06, sector[0], sector[1], 64]); // 64 sectors on
    code.extend([0x66, 0x81, 0x3e, sector[0], sector[1]]); // compared with
    code.extend(end.to_le_bytes());
    code.extend([0x72, 0xda]); // below: again
    code.extend([0xb0, b'D', 0xe6, 0xe9, 0xf4, 0xeb, 0xfd]); // say D, and halt
    code.extend([0xb0, b'F', 0xe6, 0xe9, 0xf4, 0xeb, 0xfd]); // say F, and halt
    code.extend([0x10, 0, 64, 0, 0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // the packet
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    code
}

/// A running machine; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Machine {
    child: Child,
    monitor: BufReader<UnixStream>,
    said: PathBuf,
}

impl Machine {
    /// Starts one that fills the first `bytes` of `disk`, and stops when there is no space.
    pub(crate) fn start(folder: &Path, disk: &str, bytes: u64) -> Result<Machine> {
        let path = |name: &str| folder.join(name).display().to_string();
        let mut boot = boot_sector(u32::try_from(bytes / 512)?);
        boot.resize(1 << 20, 0);
        fs::write(path("boot"), boot)?;
        let boot = format!(
            "if=none,id=boot,format=raw,readonly=on,file={}",
            path("boot")
        );
        let disk = format!("if=none,id=disk,format=raw,cache=none,werror=enospc,file={disk}");
        let socket = path("monitor");
        let child = Command::new("qemu-system-x86_64")
            .args(
                "-accel tcg -machine pc -m 16 -nodefaults -no-user-config -display none".split(' '),
            )
            .args([
                "-drive",
                &boot,
                "-device",
                "virtio-blk-pci,drive=boot,bootindex=0",
            ])
            .args([
                "-drive",
                &disk,
                "-device",
                "virtio-blk-pci,drive=disk,bootindex=1",
            ])
            .args(["-chardev", &format!("file,id=said,path={}", path("said"))])
            .args(["-device", "isa-debugcon,iobase=0xe9,chardev=said"])
            .args(["-qmp", &format!("unix:{socket},server=on,wait=off")])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start qemu-system-x86_64")?;
        let mut child = Some(child);
        let mut stream = None;
        let connected = wait_for("QEMU's monitor", || {
            stream = UnixStream::connect(&socket).ok();
            if let Some(status) = child
                .as_mut()
                .and_then(|child| child.try_wait().transpose())
            {
                bail!("QEMU has ended: {}", status?);
            }
            Ok(stream.is_some())
        });
        let (Some(mut child), Some(stream)) = (child, stream) else {
            bail!("QEMU's monitor does not answer: {connected:?}");
        };
        if let Err(error) = connected {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        let mut machine = Machine {
            child,
            monitor: BufReader::new(stream),
            said: path("said").into(),
        };
        machine.ask("qmp_capabilities")?;
        Ok(machine)
    }

    /// `running`, `io-error` and others.
    pub(crate) fn status(&mut self) -> Result<String> {
        let answer = self.ask("query-status")?;
        Ok(answer["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Lets a stopped machine go on.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        self.ask("cont").map(drop)
    }

    /// What its program has said.
    pub(crate) fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.said)?)
    }

    /// Ends it as a user would: what is cached is flushed.
    pub(crate) fn quit(mut self) -> Result<()> {
        self.ask("quit")?;
        self.child.wait()?;
        Ok(())
    }

    fn ask(&mut self, command: &str) -> Result<Value> {
        let line = json!({ "execute": command }).to_string();
        self.monitor.get_mut().write_all(line.as_bytes())?;
        loop {
            let mut answer = String::new();
            if self.monitor.read_line(&mut answer)? == 0 {
                bail!("QEMU has left before it answered {command}");
            }
            let mut answer: Value = serde_json::from_str(&answer)?;
            if answer.get("error").is_some() {
                bail!("{command}: {answer}");
            }
            // Events and the greeting come between.
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
