//! What descriptors of libgfapi allow. (A mount's kernel sees to that itself.)

use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::ptr::{NonNull, null_mut};

use anyhow::{Context, Result, ensure};
use gfapi_sys as sys;
use loopdev::Bed;
use nix::errno::Errno;
use nix::libc::{EBADF, O_RDONLY, O_SYNC, O_WRONLY, c_int};

use crate::images::tools::{expect_at, pattern, size_of};

/// A connection to the volume, which ends with the test's process.
struct Client(NonNull<sys::glfs>);

/// An open file of it.
struct Descriptor(NonNull<sys::glfs_fd>);

/// The length that a call answers, or the number of its error.
type Done = Result<i64, i32>;

fn done(code: i64) -> Done {
    if code < 0 {
        Err(Errno::last_raw())
    } else {
        Ok(code)
    }
}

impl Client {
    fn connect(bed: &Bed<'_>) -> Result<Client> {
        let (name, host) = (
            CString::new(bed.volume.name())?,
            CString::new(bed.rig.host()?)?,
        );
        let log = CString::new(bed.rig.dir().join("gfapi.log").display().to_string())?;
        // SAFETY: C strings, which libgfapi copies; the connection is used by nobody else yet.
        unsafe {
            let fs = NonNull::new(sys::glfs_new(name.as_ptr())).context("glfs_new")?;
            sys::glfs_set_volfile_server(fs.as_ptr(), c"tcp".as_ptr(), host.as_ptr(), 24007);
            sys::glfs_set_logging(fs.as_ptr(), log.as_ptr(), 7);
            ensure!(
                sys::glfs_init(fs.as_ptr()) == 0,
                "glfs_init: {}",
                Errno::last()
            );
            Ok(Client(fs))
        }
    }

    fn open(&self, path: &str, flags: c_int) -> Result<Descriptor> {
        let path = CString::new(path)?;
        // SAFETY: a connection, and a C string.
        let fd = unsafe { sys::glfs_open(self.0.as_ptr(), path.as_ptr(), flags) };
        NonNull::new(fd).map(Descriptor).context("glfs_open")
    }

    fn create(&self, path: &str, flags: c_int, mode: u32) -> Result<Descriptor> {
        let path = CString::new(path)?;
        // SAFETY: as above.
        let fd = unsafe { sys::glfs_creat(self.0.as_ptr(), path.as_ptr(), flags, mode) };
        NonNull::new(fd).map(Descriptor).context("glfs_creat")
    }
}

impl Descriptor {
    fn read(&self, at: i64) -> Done {
        let mut bytes = [0_u8; 4096];
        // SAFETY: an open descriptor, and memory of that length; no answer is wanted.
        done(unsafe {
            sys::glfs_pread(
                self.0.as_ptr(),
                bytes.as_mut_ptr().cast(),
                4096,
                at,
                0,
                null_mut(),
            )
        } as i64)
    }

    fn write(&self, bytes: &[u8], at: i64) -> Done {
        let (data, no) = (bytes.as_ptr().cast(), null_mut());
        // SAFETY: as above.
        done(unsafe { sys::glfs_pwrite(self.0.as_ptr(), data, bytes.len(), at, 0, no, no) } as i64)
    }

    /// Whatever else changes bytes or the size.
    fn change(&self) -> Vec<(&'static str, Done)> {
        let fd = self.0.as_ptr();
        // SAFETY: an open descriptor; no answer is wanted.
        unsafe {
            vec![
                ("allocate", done(sys::glfs_fallocate(fd, 0, 0, 4096).into())),
                ("discard", done(sys::glfs_discard(fd, 0, 4096).into())),
                ("zero", done(sys::glfs_zerofill(fd, 0, 4096).into())),
                (
                    "resize",
                    done(sys::glfs_ftruncate(fd, 1 << 21, null_mut(), null_mut()).into()),
                ),
            ]
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: an open descriptor, used by nobody after this.
        unsafe { sys::glfs_close(self.0.as_ptr()) };
    }
}

pub(crate) fn allow_what_they_are_open_for(bed: &mut Bed<'_>) -> Result<()> {
    let client = Client::connect(bed)?;
    let bytes = pattern(1, 1 << 20);
    // A plain file beside shows what a stock volume says.
    let mut said = Vec::new();
    for folder in ["", bed.top()] {
        let path = |name: &str| format!("{folder}/{name}");
        let here = |name: &str| bed.root().join(path(name).trim_start_matches('/'));
        fs::write(here("a"), &bytes)?;
        said.push(modes(&client, &path("a"), &here("a"), &bytes)?);
        // Made without a right to write for anybody, and yet written by who has made it.
        let made = client.create(&path("made"), O_RDONLY, 0o444)?;
        ensure!(made.write(&bytes, 0) == Ok(1 << 20));
        drop(made);
        expect_at(&here("made"), 0, &bytes)?;
    }
    ensure!(said[0] == said[1], "{said:?}");
    Ok(())
}

fn modes(
    client: &Client,
    path: &str,
    file: &Path,
    bytes: &[u8],
) -> Result<Vec<(&'static str, Done)>> {
    let reader = client.open(path, O_RDONLY | O_SYNC)?;
    let mut said = reader.change();
    said.push(("write", reader.write(b"changed", 100)));
    said.push(("append", reader.write(b"changed", 1 << 20)));
    ensure!(said.iter().all(|(_, done)| done.is_err()), "{said:?}");
    ensure!(
        said[4].1 == Err(EBADF) && said[1].1 == Err(EBADF),
        "{said:?}"
    );
    ensure!(reader.read(0) == Ok(4096));
    ensure!(size_of(file)? == 1 << 20);
    expect_at(file, 0, bytes)?;
    let writer = client.open(path, O_WRONLY | O_SYNC)?;
    said.push(("read", writer.read(512 << 10)));
    ensure!(writer.write(&bytes[..4096], 0) == Ok(4096));
    Ok(said)
}
