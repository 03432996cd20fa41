//! An image is a file: whatever is done to it, and whatever fails, it holds what a vector of bytes holds.

use std::sync::Arc;

use bd_model::ImageKind;
use bd_proto::FaultKind;
use blockdev::Span;
use proptest::collection::vec;
use proptest::prelude::*;

use super::fake::{Fake, Stub, image};
use crate::{Image, WriteAt};

const MOST: u64 = 80 << 10;

#[derive(Clone, Copy, Debug)]
enum Op {
    Write { at: u64, len: u64, byte: u8 },
    Append { len: u64, byte: u8 },
    Sparse { at: u64, zeros: u64, byte: u8 },
    Truncate(u64),
    Grow(u64),
    Zero { at: u64, len: u64 },
    Provision { at: u64, len: u64 },
    Trim,
    Flush,
    Close,
    Seek(u64),
}

/// What fails while something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    Nothing,
    Server,
    Stub,
    Device,
}

fn op() -> impl Strategy<Value = Op> {
    let (at, len) = (0..MOST, 1..20_000_u64);
    prop_oneof![
        4 => (at.clone(), len.clone(), 1..=255_u8).prop_map(|(at, len, byte)| Op::Write { at, len, byte }),
        2 => (len.clone(), 1..=255_u8).prop_map(|(len, byte)| Op::Append { len, byte }),
        1 => (at.clone(), 0..MOST, 1..=255_u8).prop_map(|(at, zeros, byte)| Op::Sparse { at, zeros, byte }),
        3 => at.clone().prop_map(Op::Truncate),
        1 => at.clone().prop_map(Op::Grow),
        2 => (at.clone(), len.clone()).prop_map(|(at, len)| Op::Zero { at, len }),
        1 => (at.clone(), len).prop_map(|(at, len)| Op::Provision { at, len }),
        1 => Just(Op::Trim),
        1 => Just(Op::Flush),
        1 => Just(Op::Close),
        1 => at.prop_map(Op::Seek),
    ]
}

fn fails() -> impl Strategy<Value = Fails> {
    prop_oneof![
        8 => Just(Fails::Nothing),
        1 => Just(Fails::Server),
        1 => Just(Fails::Stub),
        1 => Just(Fails::Device),
    ]
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

/// The file as it should be, with what an operation that was done leaves.
fn applied(model: &[u8], op: Op) -> Vec<u8> {
    let mut model = model.to_vec();
    let put = |model: &mut Vec<u8>, at: u64, bytes: &[u8]| {
        let end = index(at) + bytes.len();
        model.resize(model.len().max(end), 0);
        model[index(at)..end].copy_from_slice(bytes);
    };
    match op {
        Op::Write { at, len, byte } => put(&mut model, at, &vec![byte; index(len)]),
        Op::Append { len, byte } => {
            let at = model.len() as u64;
            put(&mut model, at, &vec![byte; index(len)]);
        }
        Op::Sparse { at, zeros, byte } => put(&mut model, at, &sparse(zeros, byte)),
        Op::Truncate(size) => model.resize(index(size), 0),
        Op::Grow(size) => model.resize(model.len().max(index(size)), 0),
        Op::Zero { at, len } => {
            let end = model.len().min(index(at + len));
            model[index(at).min(end)..end].fill(0);
        }
        Op::Provision { .. } | Op::Trim | Op::Flush | Op::Close | Op::Seek(_) => {}
    }
    model
}

fn sparse(zeros: u64, byte: u8) -> Vec<u8> {
    let mut bytes = vec![0; index(zeros)];
    bytes.extend([byte; 700]);
    bytes
}

/// Does it; says whether it was done as far as the file goes.
fn done(image: &Image<()>, server: &Fake, stub: &Stub, op: Op) -> bool {
    let mut set = stub.setter();
    match op {
        Op::Write { at, len, byte } => {
            let bytes = vec![byte; index(len)];
            let (head, tail) = bytes.split_at(index(len / 3));
            let written = image.write(server, WriteAt::Offset(at), &[head, tail], &mut set);
            written.is_ok()
        }
        Op::Append { len, byte } => {
            let bytes = vec![byte; index(len)];
            let size = image.size();
            let written = image.write(server, WriteAt::End, &[&bytes], &mut set);
            written
                .map(|it| assert_eq!((it.offset, it.before, it.after), (size, size, size + len)))
                .is_ok()
        }
        Op::Sparse { at, zeros, byte } => {
            let written = image.write_sparse(server, at, &sparse(zeros, byte), &mut set);
            written.is_ok()
        }
        // Shrunk, though the volume may be as large as before.
        Op::Truncate(size) => image.truncate(server, size, &mut set).is_ok(),
        Op::Grow(size) => image.grow(server, size, &mut set).is_ok(),
        Op::Zero { at, len } => image.zero(server, Span::at(at, len)).is_ok(),
        Op::Provision { at, len } => image.provision(server, Span::at(at, len)).is_ok(),
        Op::Trim => image.trim(server).is_ok(),
        Op::Flush => image.flush(server).is_ok(),
        Op::Close => {
            image.close_idle_device();
            true
        }
        Op::Seek(from) => {
            let found = (image.next_data(server, from), image.next_hole(server, from));
            if let (Ok(data), Ok(hole)) = found {
                check_holes(image, server, from, data, hole);
            }
            true
        }
    }
}

/// What is called a hole is zero.
fn check_holes(image: &Image<()>, server: &Fake, from: u64, data: Option<u64>, hole: u64) {
    server.obey();
    let size = image.size();
    let Ok(bytes) = image.read(server, 0, size) else {
        return;
    };
    let first = (from..size).find(|at| bytes[index(*at)] != 0);
    assert!(first.is_none_or(|first| data.is_some_and(|data| data <= first)));
    assert!(hole <= size && bytes.get(index(hole)).is_none_or(|byte| *byte == 0));
}

/// Whether a failure may have left a part of what was asked: no other file system promises more.
fn may_be_partial(op: Op) -> bool {
    matches!(op, Op::Sparse { .. })
}

fn run(kind: ImageKind, size: u64, steps: &[(Op, Fails)]) {
    let (image, server, stub) = image(kind, size);
    let mut model = vec![0; index(size)];
    for (number, (op, fails)) in steps.iter().enumerate() {
        let whole = applied(&model, *op);
        match fails {
            Fails::Nothing => {}
            Fails::Server => server.fail(FaultKind::NoSpace),
            Fails::Stub => stub.refuse(true),
            Fails::Device => {
                server.set_read_only(true);
                image.close_idle_device();
            }
        }
        let was_done = done(&image, &server, &stub, *op);
        server.obey();
        stub.refuse(false);
        if *fails == Fails::Device {
            server.set_read_only(false);
            image.close_idle_device();
        }
        let what = format!("step {number}, {op:?}, {fails:?} fails");
        assert!(was_done || *fails != Fails::Nothing, "{what}");
        let found = image.read(&*server, 0, MOST * 4).unwrap();
        if !was_done && may_be_partial(*op) {
            let same_outside = |at: usize| {
                let byte = found.get(at);
                byte == model.get(at) || byte == whole.get(at) || byte == Some(&0)
            };
            assert!((0..found.len()).all(same_outside), "{what}");
            model.clone_from(&found);
        } else if was_done {
            model = whole;
        }
        assert!(found == model, "{what}");
        let sizes = (image.size(), stub.size());
        assert_eq!(sizes, (model.len() as u64, model.len() as u64), "{what}");
        assert!(server.bytes() >= image.size(), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_image_is_a_file(
        kind in prop_oneof![Just(ImageKind::Thin), Just(ImageKind::Thick)],
        size in 0..MOST,
        steps in vec((op(), fails()), 1..40),
    ) {
        run(kind, size, &steps);
    }

    #[test]
    fn a_read_is_clipped_to_the_file(size in 0..MOST, at in 0..MOST * 2, len in 0..MOST) {
        let (image, ..) = image(ImageKind::Thin, size);
        let wanted = Span { start: at, end: (at + len).min(size) };
        match image.plan_read(at, len, 512) {
            None => assert!(wanted.is_empty()),
            Some(plan) => {
                assert!(plan.outer.is_aligned(512) && plan.outer.end >= plan.outer.start + plan.skip + plan.len);
                assert_eq!((plan.outer.start + plan.skip, plan.len), (wanted.start, wanted.len()));
            }
        }
    }
}

#[test]
fn a_volume_ends_where_its_file_does_after_the_last_close() {
    for kind in [ImageKind::Thin, ImageKind::Thick] {
        let (image, server, stub) = image(kind, 0);
        let server: &Arc<Fake> = &server;
        image
            .write(&**server, WriteAt::End, &[b"x"], &mut stub.setter())
            .unwrap();
        image
            .write(
                &**server,
                WriteAt::Offset(50_000),
                &[b"x"],
                &mut stub.setter(),
            )
            .unwrap();
        assert!(server.bytes() > 16 << 20);
        image.trim(&**server).unwrap();
        assert_eq!(server.bytes(), 64 << 10);
    }
}
