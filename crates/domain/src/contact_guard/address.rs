//! A number or e-mail address as the guard knows it: by a keyed hash, shown to people as a mask.

use serde::{Deserialize, Serialize};

use crate::{
    check::{is_e164, is_email, normal_email},
    rejection::Rejection,
    text,
};

/// Hexadecimal digits of an id: 128 bits, so that no two people are taken for one.
const ID_DIGITS: usize = 32;

/// Whom one wants to contact. `Debug` and JSON of commands carry only the mask; this type never leaves the node that asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// E.164, in the form in which it is dialled.
    Phone(String),
    /// In normal form.
    Email(String),
}

/// What an entity remembers of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masked(pub String);

impl Address {
    /// A telephone number as a person writes it: one, that exists.
    ///
    /// # Errors
    /// When it is none. A list entry for a number that nobody can dial would protect nobody.
    pub fn phone(number: &str) -> Result<Self, Rejection> {
        let number = text::only_phone(number).map_err(|problem| Rejection::invalid("address", problem.to_string()))?;
        if !is_e164(&number) {
            return Err(Rejection::invalid("address", "must be an international number such as +14155550100"));
        }
        text::dialled_form(&number)
            .map(Self::Phone)
            .ok_or_else(|| Rejection::invalid("address", "no such number exists in its country"))
    }

    /// A number that a carrier names, in the form in which it would be dialled. What the tables of countries do not know yet is taken as it is: who
    /// writes from there exists.
    pub fn of_carrier(number: &str) -> Self {
        Self::Phone(text::dialled_form(number).unwrap_or_else(|| number.to_owned()))
    }

    /// An e-mail address as a person writes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn email(address: &str) -> Result<Self, Rejection> {
        let address = normal_email(address.trim());
        if is_email(&address) {
            Ok(Self::Email(address))
        } else {
            Err(Rejection::invalid("address", "must be an e-mail address such as name@example.com"))
        }
    }

    /// The guard's id: the same for the same address, and nobody without the installation's key can try numbers.
    pub fn id(&self, key: &[u8; 32]) -> String {
        let named = match self {
            Self::Phone(number) => format!("phone\0{number}"),
            Self::Email(address) => format!("email\0{address}"),
        };
        let mut id = blake3::keyed_hash(key, named.as_bytes()).to_hex().to_string();
        id.truncate(ID_DIGITS);
        id
    }

    /// What people are shown, and what stands in the journal: the last two digits, or first letters.
    pub fn masked(&self) -> Masked {
        let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
        Masked(match self {
            Self::Phone(number) => {
                let digits = number.chars().count();
                format!("***{}", number.chars().skip(digits.saturating_sub(2)).collect::<String>())
            }
            Self::Email(address) => {
                let (name, domain) = address.split_once('@').unwrap_or((address, ""));
                let end = domain.rsplit_once('.').map_or("", |(_, end)| end);
                format!("{}***@{}***.{end}", first(name), first(domain))
            }
        })
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.masked().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_by_its_hash_and_shown_by_its_mask() {
        let key = [7; 32];
        let number = Address::phone("(415) 555-0100").expect("a number");
        assert_eq!(number, Address::Phone("+14155550100".into()));
        assert_eq!(number.id(&key), Address::phone("+1 415 555 0100").expect("a number").id(&key));
        assert_ne!(number.id(&key), number.id(&[8; 32]), "another installation knows it by another name");
        assert_eq!(number.masked().0, "***00");
        assert_eq!(format!("{number:?}"), "***00");
        let mail = Address::email(" Jo@Example.com ").expect("an address");
        assert_eq!(mail.id(&key), Address::email("jo@example.com").expect("an address").id(&key));
        assert_eq!(mail.masked().0, "j***@e***.com");
        assert_ne!(mail.id(&key), number.id(&key));
        let campaign = crate::campaign::number::normal("+44 20 7946 0123", None).expect("a number").e164;
        for written in ["+44 (0)20 7946 0123", "0044 20 7946 0123", "+442079460123"] {
            assert_eq!(Address::phone(written).expect("a number"), Address::Phone(campaign.clone()), "{written}");
        }
        assert_eq!(Address::of_carrier("+5215512345678"), Address::phone("+52 55 1234 5678").expect("a number"));
        assert_eq!(Address::of_carrier("+15552013344"), Address::Phone("+15552013344".into()));
        for none in ["+14155551234; +14155551235", "+1 111 111 1111", "020 7946 0123", "+999 1234 5678"] {
            let refused = Address::phone(none).expect_err(none);
            assert!(matches!(&refused, Rejection::Invalid { errors } if errors[0].field == "address"), "{none}");
        }
        assert!(Address::phone("12").is_err() && Address::email("nobody").is_err());
    }
}
