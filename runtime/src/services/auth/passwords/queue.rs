//! Who is next: apps take turns, each with what it has waited for longest.

use std::collections::{HashMap, VecDeque};

use pumice_host_api::AppId;

use crate::limits;

/// What waits, by app. Pure.
pub struct Queue<T> {
    apps: HashMap<AppId, VecDeque<T>>,
    /// Apps with something waiting, the next one first. Each is in it once.
    turns: VecDeque<AppId>,
    waiting: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue {
            apps: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
        }
    }
}

impl<T> Queue<T> {
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Adds `item` behind what `app` has waiting.
    ///
    /// # Errors
    /// The item, when `app` has [`limits::PASSWORD_QUEUE_APP`] waiting, or has some and all apps together
    /// have [`limits::PASSWORD_QUEUE`]: a full queue still takes one of an app that has none.
    pub fn push(&mut self, app: AppId, item: T) -> Result<(), T> {
        let waiting = self.apps.get(&app).map_or(0, VecDeque::len);
        let room = if self.waiting < limits::PASSWORD_QUEUE {
            limits::PASSWORD_QUEUE_APP
        } else {
            1
        };
        if waiting >= room {
            return Err(item);
        }
        if waiting == 0 {
            self.turns.push_back(app);
        }
        self.apps.entry(app).or_default().push_back(item);
        self.waiting += 1;
        Ok(())
    }

    pub fn pop(&mut self) -> Option<T> {
        let app = self.turns.pop_front()?;
        let items = self.apps.get_mut(&app)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.apps.remove(&app);
        } else {
            self.turns.push_back(app);
        }
        self.waiting -= usize::from(item.is_some());
        item
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn app(number: u128) -> AppId {
        AppId(Uuid::from_u128(number))
    }

    #[test]
    fn apps_take_turns_whoever_has_more_waiting() {
        let mut queue = Queue::default();
        for number in 0..100 {
            queue.push(app(1), format!("crowd {number}")).unwrap();
        }
        queue.push(app(2), "alone".to_owned()).unwrap();
        queue.push(app(3), "pair 0".to_owned()).unwrap();
        queue.push(app(3), "pair 1".to_owned()).unwrap();
        let order: Vec<String> = std::iter::from_fn(|| queue.pop()).collect();
        let expected = [
            "crowd 0", "alone", "pair 0", "crowd 1", "pair 1", "crowd 2", "crowd 3",
        ];
        assert_eq!(order[..7], expected);
        assert_eq!(order.len(), 103);
        assert_eq!(queue.len(), 0);
        assert!(queue.apps.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn an_app_that_was_served_waits_behind_the_others() {
        let mut queue = Queue::default();
        queue.push(app(1), "a0").unwrap();
        queue.push(app(1), "a1").unwrap();
        assert_eq!(queue.pop(), Some("a0"));
        queue.push(app(2), "b0").unwrap();
        // What app 1 has left was there before.
        assert_eq!(queue.pop(), Some("a1"));
        queue.push(app(1), "a2").unwrap();
        assert_eq!(queue.pop(), Some("b0"));
        assert_eq!(queue.pop(), Some("a2"));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn an_app_has_its_bound_and_others_keep_their_room() {
        let mut queue = Queue::default();
        for _ in 0..limits::PASSWORD_QUEUE_APP {
            queue.push(app(1), ()).unwrap();
        }
        assert!(queue.push(app(1), ()).is_err());
        assert!(queue.push(app(2), ()).is_ok());
        queue.pop();
        assert!(queue.push(app(1), ()).is_ok());
        assert!(queue.push(app(1), ()).is_err());
    }

    #[test]
    fn a_full_queue_takes_one_of_an_app_that_has_none() {
        let mut queue = Queue::default();
        let crowds = limits::PASSWORD_QUEUE / limits::PASSWORD_QUEUE_APP;
        for number in 0..limits::PASSWORD_QUEUE {
            queue.push(app((number % crowds) as u128), ()).unwrap();
        }
        assert_eq!(queue.len(), limits::PASSWORD_QUEUE);
        assert!(queue.push(app(900), ()).is_ok());
        assert!(queue.push(app(900), ()).is_err());
        assert!(queue.push(app(901), ()).is_ok());
    }
}
