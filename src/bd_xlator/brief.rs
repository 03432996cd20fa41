//! Questions to gluster-bdd whose answers only inform: blocks of files, free space. No lookup, stat,
//! readdirp or statfs waits long for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use bd_proto::{Reply, Request};
use crossbeam_channel::bounded;

use crate::Brick;
use crate::Image;

/// How long a fop waits for an answer. gluster-bdd gives most of them at once; while it makes an LV, a
/// second may pass.
const PATIENCE: Duration = Duration::from_secs(1);

const ASKED: u8 = 0;
const TOLD: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Questions that were waited for in vain, and are not answered yet. While there are some, nobody asks.
#[derive(Debug, Default)]
pub(crate) struct Overdue(AtomicUsize);

impl Overdue {
    fn is_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

impl Brick {
    /// Whether gluster-bdd answers such questions soon, as far as is known.
    pub(crate) fn tells_soon(&self) -> bool {
        self.overdue.is_none()
    }

    /// Asks, and has `use_answer` run when the answer is there, now or later. Answers what it makes of
    /// that, or `None` if it takes longer than a fop waits.
    ///
    /// Only for threads that may wait.
    pub(crate) fn ask_briefly<T: Send + 'static>(
        self: &Arc<Self>,
        request: Request,
        use_answer: impl FnOnce(&Brick, Reply) -> T + Send + 'static,
    ) -> Option<T> {
        if !self.tells_soon() {
            return None;
        }
        let (tell, told) = bounded(1);
        let state = Arc::new(AtomicU8::new(ASKED));
        let seen = Arc::clone(&state);
        self.on_control(move |brick| {
            let answer = brick.server.ask(&request).ok();
            let answer = answer.map(|answer| use_answer(brick, answer));
            // Whoever has given up does not take it.
            let _taken = tell.send(answer);
            if seen.swap(TOLD, Ordering::AcqRel) == GIVEN_UP {
                brick.overdue.0.fetch_sub(1, Ordering::AcqRel);
            }
        });
        if let Ok(answer) = told.recv_timeout(PATIENCE) {
            return answer;
        }
        // Counted first: the answer may come just now.
        self.overdue.0.fetch_add(1, Ordering::AcqRel);
        if state.swap(GIVEN_UP, Ordering::AcqRel) == TOLD {
            self.overdue.0.fetch_sub(1, Ordering::AcqRel);
        }
        told.try_recv().ok().flatten()
    }

    /// Asks for an image's allocated bytes, if something was written since they were told.
    ///
    /// Only for threads that may wait.
    pub(crate) fn ask_allocated(self: &Arc<Self>, image: &Arc<Image>) {
        if image.allocated_now().is_some() {
            return;
        }
        let (request, asked) = (
            self.server.allocated_request(image.gfid()),
            image.ask_for_allocated(),
        );
        let image = Arc::clone(image);
        self.ask_briefly(request, move |_, answer| {
            if let Reply::Allocated(told) = answer {
                image.take_allocated(&asked, told.first().copied().flatten());
            }
        });
    }
}
