//! What is acknowledged as flushed is on stable storage.

use bd_model::ImageKind;
use bd_proto::FaultKind;

use super::fake::{Ask, image};
use crate::WriteAt;

#[test]
fn the_first_flush_after_a_start_reaches_the_device() {
    // A process of the brick that has ended may have written.
    let (image, server, _) = image(ImageKind::Thin, 4096);
    image.flush(&*server).unwrap();
    assert_eq!(server.take_asked(), [Ask::Open]);
    image.close_idle_device();
    image.flush(&*server).unwrap();
    assert_eq!(server.take_asked(), [], "all is flushed");
}

#[test]
fn a_flush_that_fails_is_tried_again() {
    let (image, server, _) = image(ImageKind::Thin, 4096);
    server.fail(FaultKind::Failed);
    assert_eq!(image.flush(&*server), Err(libc::EIO));
    assert_eq!(image.flush(&*server), Err(libc::EIO));
    server.obey();
    image.flush(&*server).unwrap();
}

#[test]
fn a_flush_does_not_count_for_a_write_that_is_still_on_its_way() {
    let (image, server, stub) = image(ImageKind::Thin, 8192);
    image.device(&*server).unwrap();
    let by_ring = image.begin_write(0, 512).unwrap();
    image.flush(&*server).unwrap();
    drop(by_ring);
    image.close_idle_device();
    server.take_asked();
    image.flush(&*server).unwrap();
    assert_eq!(server.take_asked(), [Ask::Open]);
    let mut set = stub.setter();
    image
        .write(&*server, WriteAt::Offset(9), &[b"x"], &mut set)
        .unwrap();
    image.close_idle_device();
    image.flush(&*server).unwrap();
    assert_eq!(server.take_asked(), [Ask::Open]);
}

#[test]
fn the_flush_of_an_image_that_is_gone_or_merged_has_nothing_to_do() {
    let (image, server, _) = image(ImageKind::Thin, 4096);
    image.quiesce().fence();
    image.flush(&*server).unwrap();
    image.unfence();
    image.mark_orphan();
    assert!(image.take_orphan());
    image.flush(&*server).unwrap();
    assert_eq!(server.take_asked(), []);
}
