//! Where a thin image holds data: what gluster-bdd tells, and what is written meanwhile. A hole may be
//! called data, never the other way round.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bd_model::ImageKind;
use blockdev::Span;

use super::fake::{Ask, Fake, Stub, image};
use crate::image::lock;
use crate::{Image, WriteAt};

const SIZE: u64 = 1 << 20;

/// What a seek for data, and one for a hole, find on a block device.
fn found(image: &Image<()>, server: &Fake, from: u64) -> (Option<u64>, u64) {
    (
        image.with_mapping(server, Some(from), |mapping| mapping.next_data(from)),
        image.with_mapping(server, u64::MAX, |mapping| mapping.next_hole(from)),
    )
}

fn write(image: &Image<()>, server: &Fake, at: u64) {
    let stub = |_| Ok(());
    image
        .write(server, WriteAt::Offset(at), &[&[1; 4096]], &mut { stub })
        .unwrap();
}

fn thin() -> (Arc<Image<()>>, Arc<Fake>, Stub) {
    let all = image(ImageKind::Thin, SIZE);
    *lock(&all.1.mapped) = Some(vec![Span::at(65536, 65536)]);
    all.0.device(&*all.1).unwrap();
    all.1.take_asked();
    all
}

#[test]
fn it_is_asked_for_once_and_writes_are_added() {
    let (image, server, _) = thin();
    assert_eq!(found(&image, &server, 0), (Some(65536), 0));
    write(&image, &server, 4096);
    assert_eq!(found(&image, &server, 0), (Some(4096), 0));
    assert_eq!(found(&image, &server, 4096), (Some(4096), 8192));
    image.provision(&*server, Span::at(8192, 100)).unwrap();
    assert_eq!(found(&image, &server, 4096), (Some(4096), 8292));
    assert_eq!(server.take_asked(), [Ask::Mapped]);
    // Others may see the holes when it is asked for anew.
    image.zero(&*server, Span::at(0, 65536)).unwrap();
    assert_eq!(found(&image, &server, 0), (Some(65536), 0));
}

#[test]
fn what_is_written_while_it_is_asked_for_is_in_it() {
    let (image, server, _) = thin();
    let writes = Arc::clone(&image);
    server.on_ask(move |server, _| {
        write(&writes, server, 4096);
        drop(writes.begin_write(512 << 10, 4096).unwrap());
        None
    });
    assert_eq!(found(&image, &server, 0), (Some(4096), 0));
    assert_eq!(found(&image, &server, 512 << 10).1, (512 << 10) + 4096);
}

#[test]
fn what_was_freed_and_written_again_while_it_is_asked_for_is_no_hole() {
    let (image, server, _) = thin();
    let changes = Arc::clone(&image);
    server.on_ask(move |server, _| {
        changes.zero(server, Span::at(0, 65536)).unwrap();
        write(&changes, server, 4096);
        None
    });
    let data = image.with_mapping(&*server, Some(0), |mapping| mapping.next_data(0));
    assert!(data.is_some_and(|data| data <= 4096), "{data:?}");
}

#[test]
fn it_is_asked_for_when_writes_that_do_not_know_are_over() {
    let (image, server, _) = thin();
    let (before, over) = (
        image.begin_write(0, 4096).unwrap(),
        Arc::new(AtomicBool::new(false)),
    );
    let is_over = Arc::clone(&over);
    server.on_ask(move |_, _| {
        assert!(
            is_over.load(Ordering::SeqCst),
            "a write is under way that is not noted"
        );
        None
    });
    std::thread::scope(|scope| {
        let seek = scope.spawn(|| found(&image, &server, 0));
        // No I/O begins while somebody waits for the end of all.
        while image.try_begin_io().is_some() && !seek.is_finished() {
            std::thread::yield_now();
        }
        over.store(true, Ordering::SeqCst);
        drop(before);
        assert_eq!(seek.join().unwrap().0, Some(65536));
    });
}

#[test]
fn a_shrink_and_a_merge_end_it() {
    let (image, server, stub) = thin();
    found(&image, &server, 0);
    image
        .truncate(&*server, 4096, &mut stub.setter())
        .unwrap()
        .unwrap();
    assert!(lock(&image.mapping).is_none());
    found(&image, &server, 0);
    image.quiesce().change(SIZE);
    assert!(lock(&image.mapping).is_none());
    found(&image, &server, 0);
    image.close_idle_device();
    assert!(lock(&image.mapping).is_none());
}

#[test]
fn all_is_data_where_nobody_can_tell() {
    let (image, server, _) = thin();
    *lock(&server.mapped) = None;
    assert_eq!(found(&image, &server, 7), (Some(7), u64::MAX));
    let (thick, server, _) = super::fake::image(ImageKind::Thick, SIZE);
    assert_eq!(found(&thick, &server, 7), (Some(7), u64::MAX));
    assert_eq!(server.take_asked(), []);
}
