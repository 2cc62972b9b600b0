use wasip2::http::types::Fields;

/// Header fields in order; names compare without regard to case, and one name may occur several times.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    entries: Vec<(String, Vec<u8>)>,
}

impl Headers {
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value under `name`, if it is text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// Every value under `name` that is text, in order.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .filter_map(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Adds a field and keeps those that are there.
    pub fn append(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.entries.push((name.into(), value.into()));
    }

    /// Puts one field in place of all under this name.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        let name = name.into();
        self.entries
            .retain(|(key, _)| !key.eq_ignore_ascii_case(&name));
        self.entries.push((name, value.into()));
    }

    /// Name and raw value of each field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    pub(crate) fn from_host(fields: &Fields) -> Self {
        Self {
            entries: fields.entries(),
        }
    }

    /// # Errors
    /// A sentence, if a name or value is none that HTTP allows.
    pub(crate) fn to_host(&self) -> Result<Fields, String> {
        Fields::from_list(&self.entries).map_err(|error| {
            let names: Vec<_> = self.entries.iter().map(|(name, _)| name).collect();
            format!("a header was refused ({error:?}) among {names:?}")
        })
    }
}
