use std::sync::{Mutex, MutexGuard, PoisonError};

/// A value that is asked for once, and known from then on until something may have changed it.
///
/// Whoever changes it says so before and after. An answer that was on its way meanwhile is given
/// on but not remembered.
#[derive(Debug)]
pub(crate) struct StatCache<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    /// Changes that were begun so far.
    changes: u64,
    /// Changes that are under way.
    changing: u32,
    /// Some of them were under way at the same time: which was last is not known.
    overlapped: bool,
}

impl<T> Default for StatCache<T> {
    fn default() -> StatCache<T> {
        StatCache(Mutex::new(State {
            value: None,
            changes: 0,
            changing: 0,
            overlapped: false,
        }))
    }
}

impl<T: Clone> StatCache<T> {
    /// The value as remembered, or else what `ask` says.
    pub(crate) fn get_or_ask<E>(&self, ask: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let before = {
            let state = self.state();
            if let Some(value) = &state.value {
                return Ok(value.clone());
            }
            (state.changing == 0).then_some(state.changes)
        };
        let value = ask()?;
        let mut state = self.state();
        if before == Some(state.changes) && state.changing == 0 {
            state.value = Some(value.clone());
        }
        Ok(value)
    }

    /// The value, if it is remembered.
    #[cfg(test)]
    fn get(&self) -> Option<T> {
        self.state().value.clone()
    }

    /// Something begins that may change the value. Must be followed by [`StatCache::end`].
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        state.value = None;
        state.changes += 1;
        state.overlapped |= state.changing > 0;
        state.changing += 1;
    }

    /// What may have changed the value is over.
    ///
    /// `outcome` is what the value is now, if the change told; it counts if no other change was
    /// under way since `begin`.
    pub(crate) fn end(&self, outcome: Option<T>) {
        let mut state = self.state();
        state.changing -= 1;
        if state.changing == 0 {
            state.value = outcome.filter(|_| !state.overlapped);
            state.overlapped = false;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: i32) -> Result<i32, ()> {
        Ok(value)
    }

    #[test]
    fn it_is_asked_for_once_until_it_changes() {
        let remembered = StatCache::default();
        assert_eq!(remembered.get_or_ask(|| told(1)), Ok(1));
        assert_eq!(remembered.get_or_ask(|| told(2)), Ok(1));
        remembered.begin();
        assert_eq!(remembered.get(), None);
        assert_eq!(remembered.get_or_ask(|| told(3)), Ok(3));
        assert_eq!(remembered.get(), None);
        remembered.end(None);
        assert_eq!(remembered.get_or_ask(|| Err(())), Err(()));
        assert_eq!(remembered.get_or_ask(|| told(4)), Ok(4));
        assert_eq!(remembered.get(), Some(4));
    }

    #[test]
    fn an_answer_that_a_change_overtook_is_not_remembered() {
        let remembered = StatCache::default();
        let answer = remembered.get_or_ask(|| {
            remembered.begin();
            remembered.end(None);
            told(1)
        });
        assert_eq!((answer, remembered.get()), (Ok(1), None));
    }

    #[test]
    fn a_change_alone_tells_the_new_value() {
        let remembered = StatCache::default();
        remembered.begin();
        remembered.end(Some(1));
        assert_eq!(remembered.get(), Some(1));
        remembered.begin();
        remembered.begin();
        remembered.end(Some(2));
        assert_eq!(remembered.get(), None);
        remembered.end(Some(3));
        assert_eq!(remembered.get(), None);
        remembered.begin();
        remembered.end(Some(4));
        assert_eq!(remembered.get(), Some(4));
    }
}
