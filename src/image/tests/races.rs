//! Many threads at one image.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bd_model::ImageKind;
use blockdev::Span;

use super::fake::{Fake, Stub, image};
use crate::{Image, WriteAt};

const MOST: u64 = 256 << 10;

/// Numbers as good as random ones.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(2) | 1;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    }
}

/// Writes whole blocks as the ring does.
fn by_ring(image: &Arc<Image<()>>, at: u64, byte: u8) {
    if let Some(write) = image.begin_write(at & !511, 1024) {
        let file = File::from(write.as_fd().try_clone_to_owned().unwrap());
        file.write_all_at(&[byte; 1024], at & !511).unwrap();
    }
}

fn scramble(image: &Arc<Image<()>>, server: &Fake, stub: &Stub, seed: u64) {
    let mut number = numbers(seed);
    let byte = u8::try_from(seed % 250 + 1).unwrap();
    for _ in 0..300 {
        let (at, len) = (number(MOST), usize::try_from(1 + number(9000)).unwrap());
        match number(if seed % 5 < 3 { 3 } else { 5 }) {
            0 | 1 => {
                let pieces: &[&[u8]] = &[&vec![byte; len]];
                image
                    .write(server, WriteAt::Offset(at), pieces, &mut stub.setter())
                    .unwrap();
            }
            2 => by_ring(image, at, byte),
            3 => image.zero(server, Span::at(at, 10_000)).unwrap(),
            _ => image
                .truncate(server, at, &mut stub.setter())
                .unwrap()
                .unwrap(),
        }
        if number(16) == 0 {
            image.trim(server).unwrap();
        }
        if number(8) == 0 {
            image.close_idle_device();
        }
    }
}

#[test]
fn growth_and_shrinks_and_writes_keep_within_the_volume_and_leave_no_old_bytes() {
    for kind in [ImageKind::Thin, ImageKind::Thick] {
        for round in 0..6 {
            let (image, server, stub) = image(kind, 1000 * round);
            std::thread::scope(|scope| {
                for seed in 0..5 {
                    let (image, server, stub) = (&image, &server, &stub);
                    scope.spawn(move || scramble(image, server, stub, seed + 5 * round));
                }
            });
            let size = image.size();
            assert_eq!(stub.size(), size);
            assert!(server.bytes() >= size);
            // What was written where the file has no bytes any more does not come back.
            let end = size + MOST;
            image.grow(&*server, end, &mut stub.setter()).unwrap();
            assert!(
                image
                    .read(&*server, size, MOST)
                    .unwrap()
                    .iter()
                    .all(|byte| *byte == 0)
            );
            image
                .truncate(&*server, 0, &mut stub.setter())
                .unwrap()
                .unwrap();
            image.grow(&*server, MOST, &mut stub.setter()).unwrap();
            assert!(
                image
                    .read(&*server, 0, MOST)
                    .unwrap()
                    .iter()
                    .all(|byte| *byte == 0)
            );
        }
    }
}

#[test]
fn appended_records_stand_one_behind_the_other() {
    const RECORD: usize = 700;
    let (image, server, stub) = image(ImageKind::Thin, 0);
    std::thread::scope(|scope| {
        for writer in 1..=4_u8 {
            let (image, server, stub) = (&image, &server, &stub);
            scope.spawn(move || {
                for _ in 0..200 {
                    let record = [writer; RECORD];
                    image
                        .write(&**server, WriteAt::End, &[&record], &mut stub.setter())
                        .unwrap();
                }
            });
        }
    });
    let all = image.read(&*server, 0, 1 << 30).unwrap();
    assert_eq!(all.len(), 800 * RECORD);
    for writer in 1..=4_u8 {
        let whole = |record: &&[u8]| record.iter().all(|byte| *byte == writer);
        assert_eq!(all.chunks(RECORD).filter(whole).count(), 200);
    }
}

#[test]
fn neighbours_keep_their_bytes_whoever_frees_or_grows() {
    // Each has a stripe of its own, which begins and ends within a block.
    const STRIPE: u64 = 10_000;
    let (image, server, stub) = image(ImageKind::Thin, 0);
    std::thread::scope(|scope| {
        for writer in 0..5_u64 {
            let (image, server, stub) = (&image, &server, &stub);
            scope.spawn(move || {
                let byte = u8::try_from(writer + 1).unwrap();
                let start = writer * STRIPE;
                for _ in 0..60 {
                    image.zero(&**server, Span::at(start, STRIPE)).unwrap();
                    let whole = vec![byte; usize::try_from(STRIPE).unwrap()];
                    let pieces: &[&[u8]] = &[&whole];
                    image
                        .write(
                            &**server,
                            WriteAt::Offset(start),
                            pieces,
                            &mut stub.setter(),
                        )
                        .unwrap();
                }
            });
        }
    });
    let all = image.read(&*server, 0, 5 * STRIPE).unwrap();
    for (at, byte) in all.iter().enumerate() {
        assert_eq!(u64::from(*byte), at as u64 / STRIPE + 1, "byte {at}");
    }
}
