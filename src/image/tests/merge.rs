//! A merge gives an image another device; a clone is hydrated on the one that it has.

use std::sync::Arc;

use bd_model::ImageKind;

use super::fake::{Ask, image};
use crate::{Failure, Hydrated, ServerError, WriteAt};

#[test]
fn all_goes_on_with_the_other_device() {
    let (image, server, stub) = image(ImageKind::Thin, 20_000);
    let mut set = stub.setter();
    image
        .write(&*server, WriteAt::Offset(0), &[&[1; 20_000]], &mut set)
        .unwrap();
    image.grow(&*server, 300_000, &mut set).unwrap();
    let device = image.device_now().unwrap();
    let mut held = image.quiesce();
    assert!(image.try_begin_io().is_none());
    server.exchange(64 << 10, 2);
    held.change(40_000);
    drop((held, device));
    assert_eq!(image.read(&*server, 0, 1 << 20).unwrap(), [2; 40_000]);
    // The bytes of the device that it had are forgotten.
    server.take_asked();
    image.grow(&*server, 60_000, &mut set).unwrap();
    assert_eq!(server.take_asked(), []);
    assert_eq!(image.read(&*server, 40_000, 1 << 20).unwrap(), [0; 20_000]);
    image.grow(&*server, 70_000, &mut set).unwrap();
    assert_eq!(server.take_asked(), [Ask::Resize(70_000)]);
    image.truncate(&*server, 5, &mut set).unwrap().unwrap();
    assert_eq!(server.bytes(), super::fake::EXTENT);
}

#[test]
fn a_device_that_was_being_opened_when_it_changed_is_not_used() {
    let (image, server, _) = image(ImageKind::Thin, 4096);
    let merged = Arc::clone(&image);
    let mut is_first = true;
    server.on_ask(move |server, ask| {
        if ask == Ask::Open && std::mem::take(&mut is_first) {
            let mut held = merged.quiesce();
            server.exchange(32 << 10, 7);
            held.change(4096);
        }
        None
    });
    image.device(&*server).unwrap();
    assert_eq!(server.take_asked(), [Ask::Open, Ask::Open]);
    assert_eq!(image.read(&*server, 0, 4096).unwrap(), [7; 4096]);
}

#[test]
fn a_fenced_image_is_not_opened() {
    let (image, server, _) = image(ImageKind::Thin, 4096);
    image.device(&*server).unwrap();
    image.opened();
    assert!(!image.quiesce().fence_idle(), "it is open");
    assert!(image.is_ready());
    assert!(image.released());
    assert!(image.quiesce().fence_idle());
    let refused = image.read(&*server, 0, 1).unwrap_err();
    assert!(matches!(refused, Failure::Server(ServerError::Fenced)));
    assert_eq!(refused.errno(), libc::EBUSY);
    image.unfence();
    image.read(&*server, 0, 1).unwrap();
    // Closed though somebody has it open.
    image.opened();
    image.quiesce().fence();
    assert!(image.device(&*server).is_err() && image.begin_write(0, 512).is_none());
}

#[test]
fn an_image_whose_volume_goes_is_not_opened() {
    let (image, server, _) = image(ImageKind::Thin, 4096);
    let removed = Arc::clone(&image);
    server.on_ask(move |_, _| {
        removed.mark_orphan();
        assert!(removed.take_orphan());
        Some(bd_proto::FaultKind::NotFound)
    });
    for _ in 0..2 {
        let refused = image.read(&*server, 0, 1).unwrap_err();
        assert_eq!(
            refused.errno(),
            libc::ESTALE,
            "as of a file that another client has removed"
        );
    }
}

#[test]
fn a_chunk_is_hydrated_with_size_and_device_at_rest() {
    let (image, server, stub) = image(ImageKind::Thin, 40_000);
    let mut set = stub.setter();
    image
        .write(&*server, WriteAt::Offset(0), &[&[5; 40_000]], &mut set)
        .unwrap();
    image.close_idle_device();
    let hydrated = Arc::clone(&image);
    server.on_ask(move |_, ask| {
        assert_eq!(ask, Ask::Open);
        assert!(
            hydrated.growth.try_lock().is_err(),
            "a shrink could cut the chunk off"
        );
        assert!(
            hydrated.gate.try_write().is_none(),
            "a merge could change the device"
        );
        assert!(hydrated.try_begin_io().is_some(), "clients must not wait");
        None
    });
    assert_eq!(image.hydrate(&*server, 16384).unwrap(), Hydrated::Done);
    server.obey();
    // Behind the end there is nothing left to do.
    assert_eq!(image.hydrate(&*server, 1 << 40).unwrap(), Hydrated::Done);
    assert_eq!(image.read(&*server, 0, 40_000).unwrap(), [5; 40_000]);
    image.mark_orphan();
    image.close_idle_device();
    server.take_asked();
    assert_eq!(image.hydrate(&*server, 0).unwrap(), Hydrated::Orphan);
    assert_eq!(server.take_asked(), []);
}

#[test]
fn a_file_that_was_moved_here_ends_where_its_clients_have_written() {
    let (image, server, stub) = image(ImageKind::Thin, 0);
    let mut set = stub.setter();
    image.arrive(&*server, 9000, &mut set).unwrap();
    assert_eq!(image.size(), 0, "nobody moves it here");
    for (written, wanted) in [(50_000, 50_000), (100, 9000)] {
        image.begin_arrival();
        image.note_written_here(written);
        image.note_written_here(7);
        image.arrive(&*server, 9000, &mut set).unwrap();
        assert_eq!((image.size(), image.arrives()), (wanted, false));
    }
    // A size that a client sets is right.
    image.begin_arrival();
    image.truncate(&*server, 3, &mut set).unwrap().unwrap();
    image.arrive(&*server, 9000, &mut set).unwrap();
    assert_eq!((image.size(), stub.size()), (3, 3));
}
