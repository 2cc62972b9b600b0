//! The `[config]` table, as it was when the revision was deployed: it lives in
//! [`Entry`](crate::Entry), and a lookup is all there is to do.

mod host;
