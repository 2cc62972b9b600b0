//! Header fields and trailers as a guest holds them.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::meter::Exceeded;

/// Names and values of one message together; hyper's own bound for what it reads is of this order.
pub(crate) const FIELDS_BYTES_MAX: usize = 64 << 10;
/// Fields of one message. hyper refuses a message it reads with more than 100.
pub(crate) const FIELDS_MAX: usize = 256;

/// The resource `fields`.
pub(crate) enum Fields {
    /// The guest's own, which it may change.
    Own(HeaderMap),
    /// Of a message: many may look, nobody may change.
    Shared(Arc<HeaderMap>),
}

/// Why a field was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldFault {
    Syntax,
    Forbidden,
    Immutable,
    Exceeded(Exceeded),
}

impl Default for Fields {
    fn default() -> Self {
        Fields::Own(HeaderMap::new())
    }
}

impl Fields {
    pub(crate) fn map(&self) -> &HeaderMap {
        match self {
            Fields::Own(map) => map,
            Fields::Shared(map) => map,
        }
    }

    pub(crate) fn into_map(self) -> HeaderMap {
        match self {
            Fields::Own(map) => map,
            Fields::Shared(map) => Arc::unwrap_or_clone(map),
        }
    }

    /// A second view of the same fields; afterwards neither may change.
    pub(crate) fn share(&mut self) -> Fields {
        let shared = match self {
            Fields::Own(map) => Arc::new(std::mem::take(map)),
            Fields::Shared(map) => map.clone(),
        };
        *self = Fields::Shared(shared.clone());
        Fields::Shared(shared)
    }

    pub(crate) fn append(&mut self, name: &str, value: &[u8]) -> Result<(), FieldFault> {
        let map = self.own()?;
        let name = settable(name)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| FieldFault::Syntax)?;
        if map.len() >= FIELDS_MAX
            || weight(map) + name.as_str().len() + value.len() > FIELDS_BYTES_MAX
        {
            return Err(too_large());
        }
        map.append(name, value);
        Ok(())
    }

    pub(crate) fn set(&mut self, name: &str, values: &[Vec<u8>]) -> Result<(), FieldFault> {
        // Nothing changes unless all values are well formed.
        for value in values {
            HeaderValue::from_bytes(value).map_err(|_| FieldFault::Syntax)?;
        }
        self.delete(name)?;
        values.iter().try_for_each(|value| self.append(name, value))
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<(), FieldFault> {
        let map = self.own()?;
        map.remove(settable(name)?);
        Ok(())
    }

    fn own(&mut self) -> Result<&mut HeaderMap, FieldFault> {
        match self {
            Fields::Own(map) => Ok(map),
            Fields::Shared(_) => Err(FieldFault::Immutable),
        }
    }
}

/// Bytes of names and values. Counted anew on each append: guests set a handful of fields, so that a
/// running total would cost more memory than this costs time.
pub(crate) fn weight(map: &HeaderMap) -> usize {
    map.iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

fn too_large() -> FieldFault {
    FieldFault::Exceeded(Exceeded::Fields {
        count: FIELDS_MAX,
        bytes: FIELDS_BYTES_MAX,
    })
}

fn settable(name: &str) -> Result<HeaderName, FieldFault> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| FieldFault::Syntax)?;
    if is_of_connection(&name) {
        return Err(FieldFault::Forbidden);
    }
    Ok(name)
}

/// What the server says of itself with an answer of its own; clients tell by them a guest's failure
/// from a guest's answer.
const OF_SERVER: [HeaderName; 3] = [
    HeaderName::from_static("x-relay-error"),
    HeaderName::from_static("sb-error-code"),
    HeaderName::from_static("x-pumice-limit"),
];

/// Takes the server's own words out of a response or its trailers on their way out. Done there and
/// not while fields are set, since a guest may also pass on the fields of a message it was given.
pub(crate) fn remove_server_fields(headers: &mut HeaderMap) {
    for name in OF_SERVER {
        headers.remove(name);
    }
}

/// Fields that belong to one connection, or that the host derives itself: RFC 9110 section 7.6.1,
/// RFC 9113 section 8.2.2, and `host`, which follows from the authority.
fn is_of_connection(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::HOST
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == header::TE
        || *name == header::PROXY_AUTHENTICATE
        || *name == header::PROXY_AUTHORIZATION
        || matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        )
}

/// Takes out what a guest may not see of a message that came over a connection.
pub(crate) fn remove_connection_fields(headers: &mut HeaderMap) {
    // A search costs more than a look at each name, and messages have few fields.
    let mut found: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_of_connection(name))
        .cloned()
        .collect();
    // The sender names more of them in `connection` (RFC 9110 §7.6.1).
    for value in headers.get_all(header::CONNECTION) {
        let names = value.to_str().unwrap_or_default().split(',');
        found.extend(names.filter_map(|name| name.trim().parse::<HeaderName>().ok()));
    }
    for name in found {
        headers.remove(name);
    }
}

/// The one `content-length`, if it is a number.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, FieldFault> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(FieldFault::Syntax);
    }
    let digits = value.to_str().map_err(|_| FieldFault::Syntax)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(FieldFault::Syntax);
    }
    digits.parse().map(Some).map_err(|_| FieldFault::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_and_malformed() {
        let mut fields = Fields::default();
        for name in [
            "connection",
            "Host",
            "transfer-encoding",
            "TE",
            "Upgrade",
            "keep-alive",
            "proxy-connection",
        ] {
            assert_eq!(
                fields.append(name, b"x"),
                Err(FieldFault::Forbidden),
                "{name}"
            );
        }
        assert_eq!(fields.append("a b", b"x"), Err(FieldFault::Syntax));
        assert_eq!(fields.append("a", b"x\ny"), Err(FieldFault::Syntax));
        assert!(fields.map().is_empty());
    }

    #[test]
    fn set_replaces_all_or_nothing() {
        let mut fields = Fields::default();
        fields.append("a", b"1").unwrap();
        assert_eq!(
            fields.set("a", &[b"2".to_vec(), b"\n".to_vec()]),
            Err(FieldFault::Syntax)
        );
        assert_eq!(fields.map()["a"], "1");
        fields.set("A", &[b"2".to_vec(), b"3".to_vec()]).unwrap();
        assert_eq!(fields.map().get_all("a").iter().count(), 2);
        let view = fields.share();
        assert_eq!(fields.append("b", b"1"), Err(FieldFault::Immutable));
        assert_eq!(view.map().len(), 2);
    }

    #[test]
    fn size_is_bounded() {
        let mut fields = Fields::default();
        let long = vec![b'x'; FIELDS_BYTES_MAX / 2];
        fields.append("a", &long).unwrap();
        assert!(matches!(
            fields.append("b", &long),
            Err(FieldFault::Exceeded(_))
        ));
        let mut fields = Fields::default();
        (0..FIELDS_MAX).for_each(|_| fields.append("a", b"").unwrap());
        assert!(matches!(
            fields.append("a", b""),
            Err(FieldFault::Exceeded(_))
        ));
    }

    #[test]
    fn lengths() {
        let check = |values: &[&'static str], expect| {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(header::CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            assert_eq!(content_length(&map), expect, "{values:?}");
        };
        check(&[], Ok(None));
        check(&["12"], Ok(Some(12)));
        check(&["+12"], Err(FieldFault::Syntax));
        check(&["1", "1"], Err(FieldFault::Syntax));
        check(&["99999999999999999999"], Err(FieldFault::Syntax));
    }
}
