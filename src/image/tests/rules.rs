//! What holds while gluster-bdd is asked, and what is asked of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use bd_model::ImageKind;
use bd_proto::FaultKind;

use super::fake::{Ask, EXTENT, image};
use crate::WriteAt;

const MIB: u64 = 1 << 20;

#[test]
fn io_goes_on_while_an_image_grows_and_no_shrink_comes_between() {
    let (image, server, stub) = image(ImageKind::Thin, 1000);
    image.device(&*server).unwrap();
    let grows = Arc::clone(&image);
    server.on_ask(move |server, _| {
        assert!(grows.growth.try_lock().is_err());
        assert_eq!(grows.read(server, 10, 10).unwrap(), [0; 10]);
        let written = grows.write(server, WriteAt::Offset(3), &[b"abc"], &mut |_| {
            Err(libc::EIO)
        });
        assert_eq!(written.unwrap().offset, 3);
        None
    });
    let mut set = stub.setter();
    image
        .write(&*server, WriteAt::Offset(100_000), &[b"x"], &mut set)
        .unwrap();
    image
        .truncate(&*server, 200 * MIB, &mut set)
        .unwrap()
        .unwrap();
    assert_eq!(image.read(&*server, 2, 5).unwrap(), b"\0abc\0");
}

#[test]
fn io_waits_while_bytes_go_and_not_while_their_volume_shrinks() {
    let (image, server, stub) = image(ImageKind::Thin, 100_000);
    image.device(&*server).unwrap();
    let shrinks = Arc::clone(&image);
    server.on_ask(move |server, ask| {
        assert_eq!(ask, Ask::Resize(10));
        assert!(shrinks.growth.try_lock().is_err());
        assert_eq!(shrinks.read(server, 0, 100_000).unwrap().len(), 10);
        None
    });
    let gated = Arc::clone(&image);
    let mut set = stub.setter();
    let set = &mut |size| {
        assert!(
            gated.try_begin_io().is_none(),
            "a read could see bytes that are gone"
        );
        set(size)
    };
    image.truncate(&*server, 10, set).unwrap().unwrap();
}

#[test]
fn a_write_is_over_before_its_bytes_are_taken_away() {
    let (image, server, stub) = image(ImageKind::Thin, 100_000);
    image.device(&*server).unwrap();
    let under_way = image.begin_write(65536, 4096).unwrap();
    std::thread::scope(|scope| {
        let shrink = scope.spawn(|| image.truncate(&*server, 0, &mut stub.setter()));
        while image.try_begin_io().is_some() && !shrink.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(stub.size(), 100_000);
        drop(under_way);
        shrink.join().unwrap().unwrap().unwrap();
    });
    assert!(image.begin_write(65536, 4096).is_none());
    assert_eq!(server.bytes(), EXTENT);
}

/// Waits until a thread waits. (`thread` is where `/proc/thread-self` leads.)
fn wait_until_blocked(thread: &Path) {
    let is_blocked = || {
        let stat = fs::read_to_string(Path::new("/proc").join(thread).join("stat")).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        after_name.trim_start().starts_with('S')
    };
    while !is_blocked() {
        std::thread::yield_now();
    }
}

#[test]
fn grown_bytes_are_not_taken_away_before_they_are_written() {
    let (image, server, _) = image(ImageKind::Thin, 1000);
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        let (writes, server) = (Arc::clone(&image), &server);
        let writer = scope.spawn(move || {
            // All I/O is held from here on.
            let set = &mut |_| {
                let held = writes.gate.write_arc();
                let thread = fs::read_link("/proc/thread-self").unwrap();
                tell.send((held, thread)).unwrap();
                Ok(())
            };
            writes.write(&**server, WriteAt::Offset(90_000), &[b"x"], set)
        });
        let (held, thread) = told.recv().unwrap();
        wait_until_blocked(&thread);
        assert!(
            image.growth.try_lock().is_err(),
            "a shrink could come before the write"
        );
        drop(held);
        assert_eq!(writer.join().unwrap().unwrap().after, 90_001);
    });
}

#[test]
fn an_image_that_cannot_grow_in_steps_gets_what_it_needs() {
    let (image, server, stub) = image(ImageKind::Thick, 0);
    server.on_ask(|_, ask| match ask {
        Ask::Resize(size) if size > MIB => Some(FaultKind::NoSpace),
        _ => None,
    });
    let mut set = stub.setter();
    image
        .write(&*server, WriteAt::Offset(0), &[&[1; 50_000]], &mut set)
        .unwrap();
    assert_eq!(server.bytes(), 64 << 10);
    let refused = image.write(&*server, WriteAt::Offset(2 * MIB), &[b"x"], &mut set);
    assert_eq!(refused.unwrap_err().errno(), libc::ENOSPC);
    assert_eq!((image.size(), stub.size()), (50_000, 50_000));
    for offset in [u64::MAX, u64::try_from(i64::MAX).unwrap()] {
        let refused = image.write(&*server, WriteAt::Offset(offset), &[b"x"], &mut set);
        assert_eq!(refused.unwrap_err().errno(), libc::EFBIG);
    }
}

#[test]
fn a_volume_that_grew_for_nothing_shrinks_again() {
    let (image, server, stub) = image(ImageKind::Thin, 1000);
    stub.refuse(true);
    let refused = image.truncate(&*server, 500_000, &mut stub.setter());
    assert_eq!(refused.unwrap_err().errno(), libc::EDQUOT);
    assert_eq!((image.size(), server.bytes()), (1000, EXTENT));
    image
        .truncate(&*server, 10, &mut stub.setter())
        .unwrap_err();
    assert_eq!(image.size(), 1000);
}

#[test]
fn whole_blocks_are_begun_at_once_or_not_at_all() {
    let (image, server, _) = image(ImageKind::Thin, 8192);
    assert!(image.begin_write(0, 512).is_none(), "it is not open");
    image.device(&*server).unwrap();
    assert!(image.begin_write(0, 100).is_none(), "a part of a block");
    assert!(image.begin_write(8192, 512).is_none(), "behind the end");
    assert!(image.begin_write(u64::MAX - 511, 512).is_none());
    let write = image.begin_write(512, 1024).unwrap();
    assert_eq!((write.write().start(), write.write().len()), (512, 1024));
    let held = {
        drop(write);
        image.quiesce()
    };
    assert!(image.begin_write(0, 512).is_none(), "it is at rest");
    drop(held);
}

#[test]
fn the_last_name_goes_once() {
    let (image, ..) = image(ImageKind::Thin, 0);
    image.begin_removal();
    image.begin_removal();
    assert!(!image.end_removal() && image.end_removal());
    image.opened();
    image.mark_orphan();
    assert!(!image.take_orphan(), "somebody has it open");
    assert!(image.released() && image.take_orphan() && !image.take_orphan());
    assert!(image.is_gone() && image.is_leaving());
}
