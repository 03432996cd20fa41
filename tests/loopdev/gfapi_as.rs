//! Does to files of a volume, through libgfapi and in the name of a user, what each line of the standard
//! input says, and answers each with the error number, 0 for success, and what was read.
//!
//! `gfapi-as VOLFILE UID[,GROUP]...`; a line is `OP PATH [KEY [VALUE]]` with tabs between. An OP is
//! `set`, `get`, `remove`, or, without a key, `list`; or one of these with `f` in front, on a descriptor
//! that can only be read, or with `h`, on a handle made from the file's gfid; or `link`, `symlink` or
//! `rename`, with the other path as KEY. Bytes of a VALUE that are no text are written `\xNN`.

use std::ffi::{CString, c_int, c_void};
use std::io::{BufRead, Write};
use std::ptr;

use gfapi_sys as api;

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(-1)
}

/// The bytes that a text with `\xNN` in it means.
fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2.min(part.len()));
        bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
        bytes.extend(rest.as_bytes());
    }
    bytes
}

/// The file that a call works on.
enum At {
    Path(CString),
    Fd(*mut api::glfs_fd_t),
    Handle(*mut api::glfs_object),
}

fn find(fs: *mut api::glfs, how: &str, path: &str) -> Result<At, i32> {
    let path = CString::new(path).map_err(|_| nix::libc::EINVAL)?;
    // SAFETY: zeros are a stat.
    let mut stat = unsafe { std::mem::zeroed() };
    // SAFETY: `fs` is connected, and `path` is a C string.
    let at = unsafe {
        match how {
            "f" => At::Fd(api::glfs_open(fs, path.as_ptr(), nix::libc::O_RDONLY)),
            "h" => {
                let found = api::glfs_h_lookupat(fs, ptr::null_mut(), path.as_ptr(), &mut stat, 0);
                if found.is_null() {
                    return Err(errno());
                }
                let mut gfid = [0_u8; 16];
                api::glfs_h_extract_handle(found, gfid.as_mut_ptr(), 16);
                api::glfs_h_close(found);
                let made = api::glfs_h_create_from_handle(fs, gfid.as_mut_ptr(), 16, &mut stat);
                At::Handle(made)
            }
            _ => At::Path(path),
        }
    };
    match at {
        At::Fd(fd) if fd.is_null() => Err(errno()),
        At::Handle(made) if made.is_null() => Err(errno()),
        at => Ok(at),
    }
}

fn run(fs: *mut api::glfs, words: &[&str]) -> (i32, Vec<u8>) {
    let word = |number: usize| words.get(number).copied().unwrap_or_default();
    let (op, path) = (word(0), word(1));
    let (key, value) = (CString::new(word(2)).unwrap_or_default(), bytes(word(3)));
    if matches!(op, "link" | "symlink" | "rename") {
        let from = CString::new(path).unwrap_or_default();
        // SAFETY: both paths are C strings.
        let code = unsafe {
            match op {
                "link" => api::glfs_link(fs, from.as_ptr(), key.as_ptr()),
                "rename" => api::glfs_rename(fs, from.as_ptr(), key.as_ptr()),
                _ => api::glfs_symlink(fs, from.as_ptr(), key.as_ptr()),
            }
        };
        return (if code == 0 { 0 } else { errno() }, Vec::new());
    }
    let how = if op.starts_with(['f', 'h']) {
        &op[..1]
    } else {
        ""
    };
    let at = match find(fs, how, path) {
        Ok(at) => at,
        Err(code) => return (code, Vec::new()),
    };
    let mut room = vec![0_u8; 4096];
    let (key, given) = (key.as_ptr(), value.as_ptr().cast::<c_void>());
    let (len, size) = (value.len(), room.len());
    let taken = room.as_mut_ptr().cast::<c_void>();
    // SAFETY: the key is a C string, the value has `len` bytes, and `room` has `size`.
    let got: isize = unsafe {
        let of = |code: c_int| isize::try_from(code).unwrap_or(-1);
        match (op.trim_start_matches(['f', 'h']), &at) {
            ("set", At::Path(path)) => {
                of(api::glfs_lsetxattr(fs, path.as_ptr(), key, given, len, 0))
            }
            ("set", At::Fd(fd)) => of(api::glfs_fsetxattr(*fd, key, given, len, 0)),
            ("set", At::Handle(it)) => of(api::glfs_h_setxattrs(fs, *it, key, given, len, 0)),
            ("get", At::Path(path)) => api::glfs_lgetxattr(fs, path.as_ptr(), key, taken, size),
            ("get", At::Fd(fd)) => api::glfs_fgetxattr(*fd, key, taken, size),
            ("get", At::Handle(it)) => of(api::glfs_h_getxattrs(fs, *it, key, taken, size)),
            ("list", At::Path(path)) => api::glfs_llistxattr(fs, path.as_ptr(), taken, size),
            ("list", At::Fd(fd)) => api::glfs_flistxattr(*fd, taken, size),
            ("list", At::Handle(it)) => {
                of(api::glfs_h_getxattrs(fs, *it, ptr::null(), taken, size))
            }
            ("remove", At::Path(path)) => of(api::glfs_lremovexattr(fs, path.as_ptr(), key)),
            ("remove", At::Fd(fd)) => of(api::glfs_fremovexattr(*fd, key)),
            ("remove", At::Handle(it)) => of(api::glfs_h_removexattrs(fs, *it, key)),
            _ => return (nix::libc::ENOSYS, Vec::new()),
        }
    };
    let code = if got < 0 { errno() } else { 0 };
    match at {
        At::Path(_) => {}
        // SAFETY: opened above.
        At::Fd(fd) => _ = unsafe { api::glfs_close(fd) },
        // SAFETY: made above.
        At::Handle(it) => _ = unsafe { api::glfs_h_close(it) },
    }
    room.truncate(usize::try_from(got).unwrap_or(0));
    (code, room)
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_, volfile, ids] = &words[..] else {
        eprintln!("usage: gfapi-as VOLFILE UID[,GROUP]... <LINES");
        std::process::exit(2);
    };
    let ids: Vec<u32> = ids.split(',').filter_map(|id| id.parse().ok()).collect();
    let volfile = CString::new(volfile.as_str()).unwrap_or_default();
    // SAFETY: the names are C strings, and the list has so many groups.
    let fs = unsafe {
        let fs = api::glfs_new(c"volume".as_ptr());
        let log = c"/var/log/glusterfs/gfapi-as.log";
        if fs.is_null()
            || api::glfs_set_logging(fs, log.as_ptr(), 7) != 0
            || api::glfs_set_volfile(fs, volfile.as_ptr()) != 0
            || api::glfs_init(fs) != 0
        {
            eprintln!(
                "gfapi-as: cannot connect: {}",
                std::io::Error::last_os_error()
            );
            std::process::exit(1);
        }
        api::glfs_setfsuid(ids[0]);
        api::glfs_setfsgid(ids[0]);
        api::glfs_setfsgroups(ids.len(), ids.as_ptr());
        fs
    };
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split('\t').collect();
        let (code, read) = run(fs, &words);
        let read = String::from_utf8_lossy(&read).replace('\0', " ");
        _ = writeln!(out, "{code} {}", read.trim_end());
    }
    _ = out.flush();
    // SAFETY: ends the process at once; libgfapi's threads would crash it at a clean end.
    unsafe { nix::libc::_exit(0) };
}
