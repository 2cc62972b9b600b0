//! The secrets an entry's manifest lists. The values are in [`Entry`](crate::Entry), where `Debug`
//! does not show them; a guest gets a handle, and the value only by asking for it.

mod host;

/// The resource `secret`: a name that is known to be granted and set.
pub(crate) struct Secret {
    pub(crate) name: String,
}
