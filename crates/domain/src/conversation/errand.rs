//! What a call that we make is for, and what it has come to: kept in the dialogue while the call goes on, with the call once it is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    campaign::{callees::Callee, dialled::Dialled, import::normal_key, slice::CallBrief},
    catalog::template::Field,
    ids::{CallId, CampaignId, LeadId},
    text,
    vocabulary::FieldType,
};

/// Characters of a field's name that is made of a question.
const NAME_CHARS_MAX: usize = 48;
/// The column of a list that the name stands in.
const NAME: &str = "name";

/// What a call that we make is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Errand {
    /// The call.
    pub call: CallId,
    /// The campaign, or `call-…` for a single call.
    pub campaign: CampaignId,
    /// What that is called.
    pub title: String,
    /// What the call is for.
    pub objective: String,
    /// What is said first.
    pub opening: Option<String>,
    /// What is said.
    pub script: Option<String>,
    /// What is asked.
    pub questions: Vec<String>,
    /// Who is called.
    pub name: Option<String>,
    /// What else the list says of them.
    pub fields: BTreeMap<String, String>,
    /// Where they are, if that is certain: an IANA time zone.
    pub zone: Option<String>,
    /// The lead they were selected from.
    pub lead: Option<LeadId>,
    /// What they said to it.
    pub wish: Option<Wish>,
}

/// What somebody who is called says to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum Wish {
    /// They do not want it.
    NotInterested,
    /// They want never to be called again.
    NeverAgain,
    /// They want to be called again.
    Later {
        /// When, Unix milliseconds, once that is agreed.
        at_ms: Option<i64>,
        /// Whether nothing more is asked about it.
        settled: bool,
    },
}

impl Wish {
    /// Whether there is nothing more to talk about.
    pub fn ends_the_call(self) -> bool {
        match self {
            Self::NotInterested | Self::NeverAgain => true,
            Self::Later { settled, .. } => settled,
        }
    }
}

impl Errand {
    /// Of a call that was made, with whom it was made to unless they were erased.
    pub fn of(dialled: &Dialled, brief: CallBrief, who: Option<Callee>) -> Self {
        let (name, fields) = who.map(|who| (who.name, who.fields)).unwrap_or_default();
        let zone = match brief.zones.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        Self {
            call: CallId::default(),
            campaign: dialled.campaign.clone(),
            title: brief.title,
            objective: brief.objective,
            opening: brief.opening,
            script: brief.script,
            questions: brief.questions,
            name,
            fields,
            zone,
            lead: brief.lead_id,
            wish: None,
        }
    }

    /// What is said first, if the campaign says so: its opening, else the first paragraph of its script. Sentences with a value that this person does
    /// not have are left out.
    pub fn opening(&self, variables: &BTreeMap<String, String>) -> Option<String> {
        let own = self.opening.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let first =
            || self.script.as_deref().and_then(|script| script.split("\n\n").find(|part| !part.trim().is_empty()));
        let words = self.filled(own.or_else(first)?, variables);
        Some(text::one_line(&words)).filter(|words| !words.is_empty())
    }

    /// A text of the campaign with the person's values and the agent's variables.
    pub fn filled(&self, words: &str, variables: &BTreeMap<String, String>) -> String {
        let mut values = variables.clone();
        values.extend(self.fields.iter().map(|(name, value)| (name.clone(), text::one_line(value))));
        if let Some(name) = &self.name {
            values.insert(NAME.to_owned(), text::one_line(name));
        }
        // Both ways of writing a name; sentences end with what is not known.
        let filled = text::fill_fields(&normal_names(&words.replace("{{", "{").replace("}}", "}")), &values);
        text::fill(&filled, variables)
    }

    /// The form that its questions are.
    pub fn form(&self) -> String {
        format!("campaign:{}", self.campaign)
    }

    /// Its questions as fields of that form: named after what is asked, so that a lead shows what was answered to what.
    pub fn asks(&self) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        for (n, question) in self.questions.iter().enumerate() {
            let mut name = name_of(question);
            if name.is_empty() || fields.iter().any(|known| known.name == name) {
                name = format!("question_{}", n + 1);
            }
            fields.push(Field {
                name,
                label: question.clone(),
                kind: FieldType::Text,
                required: false,
                options: Vec::new(),
                ask: question.clone(),
            });
        }
        fields
    }
}

/// A field's name from a question: its words, joined by underscores.
fn name_of(question: &str) -> String {
    let mut name = String::new();
    for word in question.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        if name.len() + word.len() >= NAME_CHARS_MAX {
            break;
        }
        if !name.is_empty() {
            name.push('_');
        }
        name.push_str(&word.to_ascii_lowercase());
    }
    name
}

/// A text with the names in its braces as the columns of a list are called: `{Last visit}` is `{last_visit}`. What can be no column's name stays.
fn normal_names(words: &str) -> String {
    let mut normal = String::with_capacity(words.len());
    let mut rest = words;
    while let Some((before, from)) = rest.split_once('{') {
        normal.push_str(before);
        normal.push('{');
        rest = from;
        let Some((name, after)) = from.split_once('}') else { continue };
        if name.chars().all(|c| c.is_alphanumeric() || " _-./#()".contains(c)) {
            normal.push_str(&normal_key(name));
            normal.push('}');
            rest = after;
        }
    }
    normal + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand() -> Errand {
        Errand {
            campaign: "c1".into(),
            opening: Some("Hello {{name}}. I am calling about {{company}}. This is {{business_name}}.".into()),
            script: Some("First.\n\nSecond.".into()),
            questions: vec!["What is it about?".into(), "By when?".into(), "by when".into(), "预算?".into()],
            fields: BTreeMap::from([("company".into(), "Acme".into())]),
            ..Errand::default()
        }
    }

    #[test]
    fn an_opening_says_only_what_is_known_of_the_person() {
        let variables = BTreeMap::from([("business_name".to_owned(), "Oak".to_owned())]);
        let mut errand = errand();
        assert_eq!(errand.opening(&variables).as_deref(), Some("I am calling about Acme. This is Oak."));
        errand.name = Some("Ann\nLee".into());
        assert_eq!(errand.opening(&variables).as_deref(), Some("Hello Ann Lee. I am calling about Acme. This is Oak."));
        errand.opening = Some(" ".into());
        assert_eq!(errand.opening(&variables).as_deref(), Some("First."));
        errand.script = None;
        assert_eq!(errand.opening(&variables), None);
        errand.opening = Some("Hello {{unknown}}.".into());
        assert_eq!(errand.opening(&variables), None, "the agent's own greeting is said instead");
    }

    #[test]
    fn a_column_is_named_in_a_text_as_it_is_named_in_the_list() {
        let mut errand = errand();
        errand.fields = BTreeMap::from([("last_visit".into(), "spring".into()), ("größe".into(), "M".into())]);
        for (words, said) in [
            ("You came last {{Last visit}}.", "You came last spring."),
            ("You came last { last-visit }, {{größe}}.", "You came last spring, M."),
            ("Hello. You have {{No such column}}.", "Hello."),
            ("Press {1: yes, 2: no} now.", "Press {1: yes, 2: no} now."),
            ("An open { brace.", "An open { brace."),
        ] {
            errand.opening = Some(words.into());
            assert_eq!(errand.opening(&BTreeMap::new()).as_deref(), Some(said), "{words}");
        }
    }

    #[test]
    fn questions_are_fields_with_names_of_their_own() {
        let names: Vec<String> = errand().asks().into_iter().map(|field| field.name).collect();
        assert_eq!(names, ["what_is_it_about", "by_when", "question_3", "question_4"]);
        let long = name_of(&"word ".repeat(60));
        assert!(long.len() <= NAME_CHARS_MAX && !long.ends_with('_'), "{long}");
    }
}
