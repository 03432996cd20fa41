use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bd_model::Gfid;

use crate::Image;

const SHARDS: usize = 64;

type Shard<A> = Mutex<HashMap<Gfid, Weak<Image<A>>>>;

/// All images that somebody holds: one [`Image`] for each gfid, however many inodes and
/// descriptors lead to it.
#[derive(Debug)]
pub struct Images<A> {
    shards: [Shard<A>; SHARDS],
}

impl<A> Default for Images<A> {
    fn default() -> Images<A> {
        Images {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl<A: Clone> Images<A> {
    /// The image if somebody holds it, else what `read` makes of its stub.
    ///
    /// Nobody else can make or find this image while `read` looks at the stub: its size cannot
    /// be out of date when it comes into the table. So `read` must not block for long, nor ask
    /// for an image itself.
    pub fn find_or_read<E>(
        &self,
        gfid: Gfid,
        read: impl FnOnce() -> Result<Option<Image<A>>, E>,
    ) -> Result<Option<Arc<Image<A>>>, E> {
        let mut shard = self
            .shard(gfid)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = alive(shard.get(&gfid)) {
            return Ok(Some(image));
        }
        let image = read()?.map(Arc::new);
        if let Some(image) = &image {
            shard.insert(gfid, Arc::downgrade(image));
        }
        Ok(image)
    }

    /// Runs `work`, which makes the stub of a new image and marks it. Whoever asks what the file is
    /// waits: without its mark it would be taken for a plain file, and that is remembered.
    ///
    /// `work` must not ask for an image itself.
    pub fn while_marked<T>(&self, gfid: Gfid, work: impl FnOnce() -> T) -> T {
        let _shard = self
            .shard(gfid)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// The image, if somebody holds it.
    pub fn find(&self, gfid: Gfid) -> Option<Arc<Image<A>>> {
        let shard = self
            .shard(gfid)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        alive(shard.get(&gfid))
    }

    /// Forgets the images that nobody holds any more.
    pub fn sweep(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, image| image.strong_count() > 0);
        }
    }

    fn shard(&self, gfid: Gfid) -> &Shard<A> {
        &self.shards[usize::from(gfid.as_bytes()[15]) % SHARDS]
    }
}

/// The image, if somebody holds it and it has its LV.
fn alive<A: Clone>(image: Option<&Weak<Image<A>>>) -> Option<Arc<Image<A>>> {
    image
        .and_then(Weak::upgrade)
        .filter(|image| !image.is_gone())
}

#[cfg(test)]
mod tests {
    use bd_model::ImageKind;

    use super::*;

    #[test]
    fn an_image_is_shared_while_held_and_read_anew_after() {
        let images = Images::<()>::default();
        let gfid = Gfid::random();
        let make = |size| move || Ok::<_, ()>(Some(Image::new(gfid, ImageKind::Thin, size)));
        let first = images.find_or_read(gfid, make(1)).unwrap().unwrap();
        let second = images.find_or_read(gfid, make(2)).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        images.sweep();
        assert!(images.find(gfid).is_none());
        assert_eq!(
            images.find_or_read(gfid, make(3)).unwrap().unwrap().size(),
            3
        );
    }

    #[test]
    fn an_image_that_is_gone_is_not_that_of_a_new_file() {
        let images = Images::<()>::default();
        let gfid = Gfid::random();
        let make = |size| move || Ok::<_, ()>(Some(Image::new(gfid, ImageKind::Thin, size)));
        let held = images.find_or_read(gfid, make(1)).unwrap().unwrap();
        held.mark_orphan();
        assert!(images.find(gfid).is_some() && held.revive() && !held.take_orphan());
        held.mark_orphan();
        assert!(held.take_orphan() && !held.revive());
        assert!(images.find(gfid).is_none());
        let new = images.find_or_read(gfid, make(2)).unwrap().unwrap();
        assert_eq!((held.size(), new.size()), (1, 2));
    }
}
