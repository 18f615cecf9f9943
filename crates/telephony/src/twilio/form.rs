//! Twilio's form bodies: fields in the order they came, read by name.

use crate::error::Malformed;

/// The longest form, bytes: a message of 1,600 characters with ten media links is below 16 KB.
pub const FORM_BYTES_MAX: usize = 256 * 1024;
/// The most fields: a call with all documented ones has about 60.
const FIELDS_MAX: usize = 1000;

/// A decoded form. All of it is kept: the signature is over all fields, known or not.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names only: values are numbers and words of people.
        f.debug_list().entries(self.fields.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// When it is longer or has more fields than any of Twilio's.
    pub fn read(body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > FORM_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(body)
            .take(FIELDS_MAX + 1)
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        if fields.len() > FIELDS_MAX { Err(Malformed::TooLong) } else { Ok(Self { fields }) }
    }

    /// Of these fields.
    pub fn of(fields: &[(&str, &str)]) -> Self {
        Self { fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect() }
    }

    /// All fields.
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// The first value of a field, if it is there and not empty: Twilio sends some fields empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A field that everything depends on.
    ///
    /// # Errors
    /// When it is not there.
    pub fn need(&self, name: &'static str) -> Result<&str, Malformed> {
        self.get(name).ok_or(Malformed::Field(name))
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|value| value.trim().parse().ok())
    }

    /// The form as Twilio would send it. For simulated carriers and tests.
    pub fn to_body(&self) -> String {
        crate::rest::encode_form(&self.fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_read_by_name_and_debug_shows_no_values() {
        let form = Form::read(b"From=%2B14155550100&Body=a+b%26c&Digits=&SequenceNumber=2&From=x").expect("a form");
        assert_eq!((form.get("From"), form.get("Body")), (Some("+14155550100"), Some("a b&c")));
        assert_eq!((form.get("Digits"), form.number("SequenceNumber"), form.number("Body")), (None, Some(2), None));
        assert_eq!(form.need("CallSid"), Err(Malformed::Field("CallSid")));
        assert!(!format!("{form:?}").contains("4155550100"));
    }

    #[test]
    fn a_form_has_bounds() {
        assert_eq!(Form::read(&vec![b'a'; FORM_BYTES_MAX + 1]), Err(Malformed::TooLong));
        assert_eq!(Form::read("a=1&".repeat(1001).as_bytes()), Err(Malformed::TooLong));
    }

    proptest! {
        #[test]
        fn a_form_is_what_it_was(fields in proptest::collection::vec(("\\PC{0,12}", "\\PC{0,20}"), 0..10)) {
            let form = Form { fields };
            // A field without name and value is nothing at all on the wire.
            let kept: Vec<_> = form.fields.iter().filter(|field| **field != (String::new(), String::new())).cloned().collect();
            let read = Form::read(form.to_body().as_bytes()).expect("bounded");
            let read: Vec<_> = read.fields.into_iter().filter(|field| *field != (String::new(), String::new())).collect();
            prop_assert_eq!(read, kept);
        }

        #[test]
        fn any_bytes_are_a_form(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Form::read(&bytes).is_ok());
        }
    }
}
