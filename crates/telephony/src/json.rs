//! Reading other people's JSON: size and shape are checked, what is unknown is passed over, a wrong type is as good as absent.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::Malformed;

/// The longest frame or webhook that is read, bytes. The largest real ones are whole transcripts of calls of two hours with a time for each
/// word: about 20,000 words of 60 bytes, so 1.2 MB.
pub const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A JSON object of bounded size.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, Malformed> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    serde_json::from_slice(text).map_err(|_| Malformed::NotJson)
}

/// A typed frame out of an object; `what` is named when its core fields are missing or wrong.
pub(crate) fn typed<T: DeserializeOwned>(object: Map<String, Value>, what: &'static str) -> Result<T, Malformed> {
    serde_json::from_value(Value::Object(object)).map_err(|_| Malformed::Field(what))
}

/// For optional fields: a value of another type than documented is passed over instead of spoiling the whole frame.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// Like [`lenient`], for fields that have a default.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(lenient(deserializer)?.unwrap_or_default())
}

/// A list of which only the readable elements are kept.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    let Value::Array(elements) = value else { return Ok(Vec::new()) };
    Ok(elements.into_iter().filter_map(|element| serde_json::from_value(element).ok()).collect())
}

/// A whole number, also when it is written as a string or with a fraction of zero.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            // Beyond 2⁵³ a float no longer names one whole number.
            number.as_f64().filter(|float| float.abs() < 9e15).map(|float| float.round() as i64)
        }),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| {
                text.parse::<f64>().ok().filter(|float| float.abs() < 9e15).map(|float| float.round() as i64)
            })
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// [`whole`] as a field.
pub(crate) fn lenient_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(whole(&Value::deserialize(deserializer)?))
}

/// At most `max` characters of a text.
pub(crate) fn clip(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// A vocabulary of a provider as an enum with the documented words and a variant for all others, so that a new word is neither lost nor an error.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A word that is not documented.
            Other(String),
        }

        impl $name {
            /// The word as it crosses the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    _ => Self::Other($crate::json::clip(word, $crate::json::WORD_CHARS_MAX)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(String::deserialize(deserializer)?.as_str()))
            }
        }
    };
}
pub(crate) use vocabulary;

/// How much is kept of a word nobody documented: enough to recognise it.
pub(crate) const WORD_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "lenient")]
        name: Option<String>,
        #[serde(default, deserialize_with = "list")]
        ids: Vec<u8>,
        #[serde(default, deserialize_with = "lenient_whole")]
        at: Option<i64>,
        #[serde(default, deserialize_with = "or_default")]
        on: bool,
    }

    #[test]
    fn a_wrong_type_spoils_only_its_own_field() {
        let read =
            |text: &str| typed::<Sample>(object(text.as_bytes()).expect("an object"), "sample").expect("lenient");
        let empty = Sample { name: None, ids: Vec::new(), at: None, on: false };
        assert_eq!(read("{}"), empty);
        assert_eq!(read(r#"{"name":7,"ids":{},"at":[],"on":"yes","new":null}"#), empty);
        assert_eq!(
            read(r#"{"name":"x","ids":[1,"2",300,4],"at":"460","on":true}"#),
            Sample { name: Some("x".into()), ids: vec![1, 4], at: Some(460), on: true }
        );
    }

    #[test]
    fn numbers_are_read_however_they_are_written() {
        let cases = [
            ("460", Some(460)),
            ("460.0", Some(460)),
            ("\"460\"", Some(460)),
            ("\" 460.4 \"", Some(460)),
            ("\"x\"", None),
            ("1e300", None),
            ("\"inf\"", None),
            ("null", None),
            ("true", None),
            ("-1", Some(-1)),
        ];
        for (text, expected) in cases {
            assert_eq!(whole(&serde_json::from_str(text).expect("JSON")), expected, "{text}");
        }
    }

    #[test]
    fn only_an_object_of_bounded_size_is_read() {
        assert_eq!(object(b"[]"), Err(Malformed::NotJson));
        assert_eq!(object(b"{"), Err(Malformed::NotJson));
        assert_eq!(object(&[b' '; TEXT_BYTES_MAX + 1]), Err(Malformed::TooLong));
        assert_eq!(object("[".repeat(100_000).as_bytes()), Err(Malformed::NotJson), "depth is bounded");
    }
}
