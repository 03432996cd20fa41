//! Allocated bytes, as gluster-bdd tells them.

use bd_model::{Bytes, ImageKind};
use bd_proto::FaultKind;

use super::fake::{Ask, image};
use crate::WriteAt;
use crate::image::lock;

const KIB: u64 = 1 << 10;

#[test]
fn allocated_bytes_are_asked_for_once_until_something_is_written() {
    let (image, server, stub) = image(ImageKind::Thin, 100 * KIB);
    assert_eq!(image.allocated_lately(), 100 * KIB);
    *lock(&server.allocated) = Some(Bytes(8 * KIB));
    image.refresh_allocated(&*server);
    image.refresh_allocated(&*server);
    assert_eq!(server.take_asked(), [Ask::Allocated]);
    assert_eq!(image.allocated_now(), Some(8 * KIB));
    image
        .write(
            &*server,
            WriteAt::Offset(0),
            &[&[1; 4096]],
            &mut stub.setter(),
        )
        .unwrap();
    assert_eq!(image.allocated_now(), None);
    assert_eq!(image.allocated_lately(), 12 * KIB);
    // No more than the file has.
    *lock(&server.allocated) = Some(Bytes(1 << 30));
    image.refresh_allocated(&*server);
    assert_eq!(image.allocated_lately(), 100 * KIB);
    // A number that only informs is no reason to fail.
    image.zero(&*server, blockdev::Span::at(0, KIB)).unwrap();
    server.fail(FaultKind::Failed);
    image.refresh_allocated(&*server);
    assert_eq!(image.allocated_lately(), 100 * KIB);
}

#[test]
fn what_is_written_while_gluster_bdd_is_asked_counts_on_top() {
    let (image, server, stub) = image(ImageKind::Thin, 100 * KIB);
    let asked = image.ask_for_allocated();
    image
        .write(
            &*server,
            WriteAt::Offset(0),
            &[&[1; 4096]],
            &mut stub.setter(),
        )
        .unwrap();
    image.take_allocated(&asked, Some(Bytes(8 * KIB)));
    assert_eq!(image.allocated_now(), None);
    assert_eq!(image.allocated_lately(), 12 * KIB);
}
