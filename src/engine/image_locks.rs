use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bd_model::Gfid;

/// The images that a request works on: requests of one image come one after another, those of
/// different images at the same time.
#[derive(Debug, Default)]
pub struct ImageLocks {
    images: Mutex<Images>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Images {
    taken: HashSet<Gfid>,
    /// How many wait for an image.
    wanted: HashMap<Gfid, u32>,
}

/// The right to work on some images, until it is dropped.
#[derive(Debug)]
pub struct ImageLock<'a> {
    locks: &'a ImageLocks,
    images: Vec<Gfid>,
}

impl ImageLocks {
    /// Waits until nobody works on any of the images, and takes them all at once.
    pub fn lock(&self, images: &[Gfid]) -> ImageLock<'_> {
        let mut images = images.to_vec();
        images.sort_unstable();
        images.dedup();
        let mut all = self.all();
        for image in &images {
            *all.wanted.entry(*image).or_default() += 1;
        }
        while images.iter().any(|image| all.taken.contains(image)) {
            all = self.wait(all);
        }
        for image in &images {
            all.wants_no_more(*image);
        }
        all.taken.extend(&images);
        ImageLock {
            locks: self,
            images,
        }
    }

    /// As [`ImageLocks::lock`], after all who wait for the image: for work in the background, which takes
    /// it again and again and would leave them no moment.
    pub fn lock_behind(&self, image: Gfid) -> ImageLock<'_> {
        let mut all = self.all();
        while all.taken.contains(&image) || all.wanted.contains_key(&image) {
            all = self.wait(all);
        }
        all.taken.insert(image);
        ImageLock {
            locks: self,
            images: vec![image],
        }
    }

    /// Takes an image, unless somebody works on it.
    pub fn try_lock(&self, image: Gfid) -> Option<ImageLock<'_>> {
        self.all().taken.insert(image).then(|| ImageLock {
            locks: self,
            images: vec![image],
        })
    }

    fn all(&self) -> MutexGuard<'_, Images> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, all: MutexGuard<'a, Images>) -> MutexGuard<'a, Images> {
        self.freed.wait(all).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Images {
    fn wants_no_more(&mut self, image: Gfid) {
        if let Entry::Occupied(mut wanted) = self.wanted.entry(image) {
            *wanted.get_mut() -= 1;
            if *wanted.get() == 0 {
                wanted.remove();
            }
        }
    }
}

impl Drop for ImageLock<'_> {
    fn drop(&mut self) {
        let mut all = self.locks.all();
        for image in &self.images {
            all.taken.remove(image);
        }
        self.locks.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_image_has_one_worker() {
        let locks = ImageLocks::default();
        let images: Vec<Gfid> = (0..4).map(|_| Gfid::random()).collect();
        let workers: Vec<AtomicU32> = images.iter().map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (locks, images, workers) = (&locks, &images, &workers);
                scope.spawn(move || {
                    for round in 0..200 {
                        let (a, b) = ((thread + round) % 4, (thread * round) % 4);
                        let _image_lock = locks.lock(&[images[a], images[b]]);
                        for image in [a, b] {
                            assert!(workers[image].fetch_add(1, Ordering::SeqCst) < 2);
                        }
                        for image in [a, b] {
                            workers[image].fetch_sub(1, Ordering::SeqCst);
                        }
                        assert_eq!(workers[a].load(Ordering::SeqCst), 0);
                    }
                });
            }
        });
    }

    #[test]
    fn who_waits_comes_before_work_in_the_background() {
        let (locks, image) = (ImageLocks::default(), Gfid::random());
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let lock = locks.lock(&[image]);
            scope.spawn(|| {
                let _image_lock = locks.lock_behind(image);
                order.lock().unwrap().push("work");
            });
            scope.spawn(|| {
                let _image_lock = locks.lock(&[image, Gfid::random()]);
                order.lock().unwrap().push("call");
            });
            while !locks.all().wanted.contains_key(&image) {
                std::thread::yield_now();
            }
            drop(lock);
        });
        assert_eq!(order.into_inner().unwrap(), ["call", "work"]);
        assert!(locks.all().wanted.is_empty() && locks.all().taken.is_empty());
    }
}
