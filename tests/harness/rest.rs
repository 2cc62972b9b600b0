//! Tables over HTTP, and what follows a write sooner or later.

use std::time::Duration;

use serde_json::Value;

use crate::client::{Answer, Call};
use crate::{App, Follow, in_time};

impl App {
    /// A request to `/rest/v1/<path>` with the service key.
    pub fn rest(&self, method: &str, path: &str) -> Call {
        self.call(method, &format!("/rest/v1/{path}"))
            .header("apikey", &self.service_role_key)
    }

    /// Rows to be inserted, which the answer shows as they are stored.
    pub fn insert(&self, table: &str, rows: &Value) -> Call {
        self.rest("POST", table).representation().json(rows)
    }

    /// A call of a procedure with the service key.
    pub fn rpc(&self, procedure: &str, arguments: &Value) -> Call {
        self.rest("POST", &format!("rpc/{procedure}"))
            .json(arguments)
    }

    /// The rows of a read that succeeds.
    #[track_caller]
    pub fn rows(&self, query: &str) -> impl Future<Output = Value> + use<> {
        let call = self.rest("GET", query);
        async move {
            let answer: Answer = call.await;
            assert_eq!(answer.status, 200, "{answer}");
            answer.json()
        }
    }

    /// How many rows a read finds, at most 1,000.
    pub async fn count(&self, query: &str) -> usize {
        let rows = self.rows(query).await;
        rows.as_array().expect("it is a list").len()
    }

    /// What the function `data-function` answers to `call` with the service key.
    pub async fn ask(&self, call: &Value) -> Value {
        let answer = self
            .invoke("data-function")
            .without("authorization")
            .bearer(&self.service_role_key)
            .json(call)
            .await;
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()
    }

    /// Watches what the app's guests do from now on.
    pub async fn effects(&self) -> Effects {
        Effects {
            log: self.follow("").await,
        }
    }
}

/// What an app's guests do. See [`until`](Effects::until).
pub struct Effects {
    log: Follow,
}

impl Effects {
    /// Looks until `look` finds something: at first, after each record of the app's log, which each guest
    /// that ends leaves there, and every now and then for what leaves none.
    pub async fn until<T>(&mut self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        const NOW_AND_THEN: Duration = Duration::from_millis(200);
        let found = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                let record = tokio::time::timeout(NOW_AND_THEN, self.log.next()).await;
                drop(record);
            }
        };
        in_time(what, found).await
    }
}

impl Call {
    /// Asks for the rows that a write leaves.
    pub fn representation(self) -> Call {
        self.header("prefer", "return=representation")
    }

    /// Asks for one object in place of a list.
    pub fn single(self) -> Call {
        self.header("accept", "application/vnd.pgrst.object+json")
    }
}

impl Answer {
    /// What a client of the dialect can see: status, `content-range`, body.
    pub fn seen(&self) -> String {
        format!(
            "{} {:?} {}",
            self.status,
            self.header("content-range"),
            self.text()
        )
    }

    /// The code in the body of an error.
    #[track_caller]
    pub fn code(&self) -> String {
        let body = self.json();
        let code = body["code"].as_str();
        code.unwrap_or_else(|| panic!("no code: {self}")).to_owned()
    }

    /// Fails unless this is an error with this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, &*self.code()), (status, code), "{self}");
    }
}
