//! The `Accept` header: in what form rows are wanted.

use std::borrow::Cow;

use super::Explain;
use crate::data::DataError;

/// A form of answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// A JSON array; `nulls_stripped` leaves keys without a value out.
    Json {
        nulls_stripped: bool,
    },
    /// One JSON object, or PGRST116.
    Object {
        nulls_stripped: bool,
    },
    Csv,
    /// The plan of what would answer `of`.
    Plan {
        of: Box<Media>,
        explain: Explain,
    },
    OpenApi,
    OctetStream,
    Text,
    Xml,
    GeoJson,
}

impl Media {
    /// A media type with its parameters. `None` for any that is none of ours, `*/*` too.
    pub fn read(text: &str) -> Option<Media> {
        Self::parse(text, true)
    }

    fn parse(text: &str, plans: bool) -> Option<Media> {
        let mut parts = split(text, ';');
        let kind = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let parameter = |name: &str| -> Option<&str> {
            split(text, ';').skip(1).find_map(|part| {
                let (key, value) = part.split_once('=')?;
                let value = value.trim();
                let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                key.trim()
                    .eq_ignore_ascii_case(name)
                    .then_some(bare.unwrap_or(value))
            })
        };
        let nulls_stripped = || parameter("nulls") == Some("stripped");
        Some(match kind.as_str() {
            "application/json" => Media::Json {
                nulls_stripped: false,
            },
            "application/vnd.pgrst.array+json" | "application/vnd.pgrst.array" => Media::Json {
                nulls_stripped: nulls_stripped(),
            },
            "application/vnd.pgrst.object+json" | "application/vnd.pgrst.object" => Media::Object {
                nulls_stripped: nulls_stripped(),
            },
            "text/csv" => Media::Csv,
            "application/openapi+json" => Media::OpenApi,
            "application/octet-stream" => Media::OctetStream,
            "text/plain" => Media::Text,
            "text/xml" => Media::Xml,
            "application/geo+json" => Media::GeoJson,
            "application/vnd.pgrst.plan"
            | "application/vnd.pgrst.plan+text"
            | "application/vnd.pgrst.plan+json"
                if plans =>
            {
                // A plan of a plan is none.
                let of = Self::parse(parameter("for").unwrap_or("application/json"), false)?;
                let mut explain = Explain {
                    json: kind.ends_with("json"),
                    ..Explain::default()
                };
                for option in parameter("options").unwrap_or_default().split('|') {
                    match option {
                        "analyze" => explain.analyze = true,
                        "verbose" => explain.verbose = true,
                        "settings" => explain.settings = true,
                        "buffers" => explain.buffers = true,
                        "wal" => explain.wal = true,
                        _ => {}
                    }
                }
                Media::Plan {
                    of: Box::new(of),
                    explain,
                }
            }
            _ => return None,
        })
    }

    /// As messages and `Content-Type` name it, without the character set.
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Media::Json {
                nulls_stripped: false,
            } => "application/json",
            Media::Json {
                nulls_stripped: true,
            } => "application/vnd.pgrst.array+json;nulls=stripped",
            Media::Object {
                nulls_stripped: false,
            } => "application/vnd.pgrst.object+json",
            Media::Object {
                nulls_stripped: true,
            } => "application/vnd.pgrst.object+json;nulls=stripped",
            Media::Csv => "text/csv",
            Media::OpenApi => "application/openapi+json",
            Media::OctetStream => "application/octet-stream",
            Media::Text => "text/plain",
            Media::Xml => "text/xml",
            Media::GeoJson => "application/geo+json",
            Media::Plan { of, explain } => {
                let form = if explain.json { "json" } else { "text" };
                let mut name = format!("application/vnd.pgrst.plan+{form}; for=\"{}\"", of.name());
                let options = [
                    (explain.analyze, "analyze"),
                    (explain.verbose, "verbose"),
                    (explain.settings, "settings"),
                    (explain.buffers, "buffers"),
                    (explain.wal, "wal"),
                ];
                let options: Vec<&str> = options
                    .into_iter()
                    .filter_map(|(asked, option)| asked.then_some(option))
                    .collect();
                if !options.is_empty() {
                    name.push_str("; options=");
                    name.push_str(&options.join("|"));
                }
                return Cow::Owned(name);
            }
        })
    }

    /// The answer's `Content-Type`.
    pub fn content_type(&self) -> Cow<'static, str> {
        match self {
            Media::OctetStream => self.name(),
            Media::Json {
                nulls_stripped: false,
            } => Cow::Borrowed("application/json; charset=utf-8"),
            _ => Cow::Owned(format!("{}; charset=utf-8", self.name())),
        }
    }
}

/// What a request accepts, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept(Vec<Range>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Range {
    Any,
    One(Media),
    Unknown(String),
}

impl Accept {
    /// Reads the header's values. Those of the same weight stand as they came, those with parameters
    /// first; weight 0 accepts nothing. No header accepts anything.
    pub fn read<'v>(values: impl IntoIterator<Item = &'v str>) -> Accept {
        let mut ranges: Vec<(f32, usize, Range)> = Vec::new();
        let mut named = false;
        for value in values.into_iter().flat_map(|value| split(value, ',')) {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            named = true;
            let weight = |part: &str| -> Option<f32> {
                let (key, weight) = part.split_once('=')?;
                let is = key.trim().eq_ignore_ascii_case("q");
                is.then(|| weight.trim().parse().ok().filter(|q: &f32| q.is_finite()))?
            };
            // What stands behind a weight is not of the type.
            let parts: Vec<&str> = split(value, ';').collect();
            let at = parts.iter().position(|part| weight(part).is_some());
            let q = at.and_then(|at| weight(parts[at])).unwrap_or(1.0);
            let text = parts[..at.unwrap_or(parts.len())].join(";");
            let text = text.trim();
            let range = match Media::read(text) {
                Some(media) => Range::One(media),
                None if parts[0].trim() == "*/*" => Range::Any,
                None => Range::Unknown(text.to_owned()),
            };
            if q > 0.0 {
                let parameters = at.unwrap_or(parts.len()).saturating_sub(1);
                ranges.push((q, parameters, range));
            }
        }
        if !named {
            return Accept(vec![Range::Any]);
        }
        ranges.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        Accept(ranges.into_iter().map(|(_, _, range)| range).collect())
    }

    /// The best that is served; `default` when anything goes.
    ///
    /// # Errors
    /// PGRST107 when none is.
    pub fn choose(
        &self,
        default: Media,
        served: impl Fn(&Media) -> bool,
    ) -> Result<Media, DataError> {
        for range in &self.0 {
            match range {
                Range::Any => return Ok(default),
                Range::One(media) if served(media) => return Ok(media.clone()),
                _ => {}
            }
        }
        let names: Vec<Cow<str>> = self
            .0
            .iter()
            .map(|range| match range {
                Range::Any => Cow::Borrowed("*/*"),
                Range::One(media) => media.name(),
                Range::Unknown(name) => Cow::Borrowed(name.as_str()),
            })
            .collect();
        let names = names.join(", ");
        let message = format!("None of these media types are available: {names}");
        Err(DataError::sql("PGRST107", message))
    }
}

/// The parts between separators that stand in no quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}
