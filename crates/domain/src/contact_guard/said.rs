//! What people say, in their own words, who do not want to be called or written to any more.

use super::abroad::{self, What};
use crate::text::Words;

/// Who says this never wants to be called again.
const NEVER_CALL: &[&str] = &[
    "stop calling",
    "quit calling",
    "dont call",
    "do not call",
    "never call",
    "dont ever call",
    "no more calls",
    "dont ring",
    "do not ring",
    "lose my number",
];
/// Who says this wants nothing from us at all.
const NEVER_CONTACT: &[&str] = &[
    "stop contacting",
    "quit contacting",
    "dont contact",
    "do not contact",
    "never contact",
    "take me off",
    "take my number off",
    "remove me",
    "remove my number",
    "delete my number",
    "unsubscribe me",
];
/// Who writes this wants no more messages.
const NEVER_WRITE: &[&str] = &[
    "stop texting",
    "stop messaging",
    "stop writing",
    "stop sending me",
    "stop sending these",
    "stop sending text",
    "stop sending messages",
    "stop these text",
    "stop these messages",
    "stop the text",
    "stop the messages",
    "quit texting",
    "quit messaging",
    "dont text",
    "do not text",
    "never text",
    "dont message",
    "do not message",
    "dont write me",
    "dont write to me",
    "do not write to me",
    "no more text",
    "no more messages",
    "opt me out",
    "want to opt out",
    "want to unsubscribe",
    "like to opt out",
    "like to unsubscribe",
    "unsubscribe from",
];
/// Who says this after that may be contacted again.
const AGAIN: &[&str] = &[
    "contact me again",
    "you can contact me",
    "you may contact me",
    "call me again",
    "text me again",
    "opt me back in",
    "opt in again",
    "opt back in",
    "put me back on",
];
/// After such a phrase they mean a time and not for ever: "don't call me before nine".
const BUT_SOMETIMES: &[&str] =
    &["before", "until", "till", "after", "today", "tonight", "now", "during", "while", "between", "so", "at", "on"];
/// After such a phrase they mean something else: "take me off hold", "remove me from the waiting list".
const NOT_THAT: &[&str] =
    &["hold", "speaker", "speakerphone", "waitlist", "waiting", "appointment", "booking", "schedule", "calendar"];
/// Right before such a phrase they say the opposite: "don't remove me".
const OPPOSITE: &[&str] = &["dont", "not", "never", "cant", "cannot"];
/// Before such a phrase they tell of somebody: "you never call me back" is no order.
const TELLS: &[&str] = &["you", "they", "we", "i", "he", "she", "people", "guys", "who"];
/// How a phrase begins that may tell of somebody instead of ordering.
const MAY_TELL: &[&str] = &["dont", "do", "never"];
/// With one of these it is an order all the same: "you do not call me again".
const FOR_EVER: &[&str] = &["again", "anymore", "ever"];
/// The order of a short message.
const ORDERS: &[&str] = &["stop", "unsubscribe", "optout"];
/// What may stand around it without changing it: "STOP please", "ok, stop now".
const AROUND: &[&str] = &[
    "please",
    "pls",
    "plz",
    "just",
    "ok",
    "okay",
    "hey",
    "hi",
    "hello",
    "now",
    "it",
    "this",
    "that",
    "all",
    "already",
    "me",
    "immediately",
    "thanks",
    "thank",
    "you",
    "texts",
    "messages",
    "the",
    "these",
    "and",
    "everything",
    "i",
    "said",
];
/// The longest message that is nothing but such an order, words.
const SHORT_WORDS_MAX: usize = 6;

/// The languages in which it is heard, and in which it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tongue {
    /// English.
    English,
    /// German.
    German,
    /// French.
    French,
    /// Spanish.
    Spanish,
    /// Italian.
    Italian,
    /// Portuguese.
    Portuguese,
}

/// What somebody says of being contacted at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contacting {
    /// Never again.
    Never,
    /// They may be contacted again.
    Again,
}

/// Whether somebody says in a call that they never want to be called again.
pub fn never_call(words: &Words) -> bool {
    orders(words, NEVER_CALL) || never_contact(words) || abroad::never(words, What::Calls).is_some()
}

/// What somebody says in a chat of being contacted, and in which language. Only who said before that they want nothing more can take it back.
pub fn of_contacting(words: &Words, stopped: bool) -> Option<(Contacting, Tongue)> {
    if let Some(tongue) = never_write_in(words) {
        return Some((Contacting::Never, tongue));
    }
    if !stopped {
        return None;
    }
    let starts = words.all().first().is_some_and(|word| word.text == "start") && words.len() == 1;
    let english = starts || AGAIN.iter().any(|phrase| words.means(phrase));
    let again = if english { Some(Tongue::English) } else { abroad::again(words) };
    again.map(|tongue| (Contacting::Again, tongue))
}

/// That it was heard, over a line of text messages: how to take it back is the carriers' own word.
pub fn stopped(tongue: Tongue) -> &'static str {
    match tongue {
        Tongue::English => "You will get no more messages from us. Write START to hear from us again.",
        Tongue::German => {
            "Sie bekommen keine Nachrichten mehr von uns. Schreiben Sie START, um wieder von uns zu hören."
        }
        Tongue::French => "Vous ne recevrez plus de messages de notre part. Écrivez START pour en recevoir à nouveau.",
        Tongue::Spanish => "No recibirá más mensajes nuestros. Escriba START para volver a recibirlos.",
        Tongue::Italian => "Non riceverà più messaggi da noi. Scriva START per riceverne di nuovo.",
        Tongue::Portuguese => "Não receberá mais mensagens nossas. Escreva START para voltar a recebê-las.",
    }
}

/// That it was heard, in a chat. `known`: whether there is a number or address that is on the list now.
pub fn confirmed(contacting: Contacting, tongue: Tongue, known: bool) -> &'static str {
    match (contacting, tongue, known) {
        (Contacting::Never, Tongue::English, true) => {
            "Understood: we will not contact you again. What you gave us is on our do-not-contact list now. If you change your mind, write START here."
        }
        (Contacting::Never, Tongue::English, false) => {
            "Understood: we will not contact you. We have no number or address of yours; if you want one on our do-not-contact list, write it here."
        }
        (Contacting::Never, Tongue::German, true) => {
            "Verstanden: Wir kontaktieren Sie nicht mehr. Ihre Angaben stehen jetzt auf unserer Sperrliste. Wenn Sie es sich anders überlegen, schreiben Sie hier START."
        }
        (Contacting::Never, Tongue::German, false) => {
            "Verstanden: Wir kontaktieren Sie nicht. Wir haben keine Nummer oder Adresse von Ihnen; wenn eine auf unsere Sperrliste soll, schreiben Sie sie hier."
        }
        (Contacting::Never, Tongue::French, true) => {
            "C'est noté : nous ne vous contacterons plus. Vos coordonnées sont maintenant sur notre liste d'opposition. Si vous changez d'avis, écrivez START ici."
        }
        (Contacting::Never, Tongue::French, false) => {
            "C'est noté : nous ne vous contacterons pas. Nous n'avons ni numéro ni adresse de vous ; pour en mettre sur notre liste d'opposition, écrivez-les ici."
        }
        (Contacting::Never, Tongue::Spanish, true) => {
            "Entendido: no volveremos a contactarle. Sus datos están ahora en nuestra lista de exclusión. Si cambia de opinión, escriba START aquí."
        }
        (Contacting::Never, Tongue::Spanish, false) => {
            "Entendido: no le contactaremos. No tenemos ningún número ni dirección suya; si quiere incluirlos en nuestra lista de exclusión, escríbalos aquí."
        }
        (Contacting::Never, Tongue::Italian, true) => {
            "Capito: non la contatteremo più. I suoi recapiti sono ora nella nostra lista di esclusione. Se cambia idea, scriva START qui."
        }
        (Contacting::Never, Tongue::Italian, false) => {
            "Capito: non la contatteremo. Non abbiamo un suo numero o indirizzo; se vuole inserirlo nella nostra lista di esclusione, lo scriva qui."
        }
        (Contacting::Never, Tongue::Portuguese, true) => {
            "Entendido: não voltaremos a contactá-lo. Os seus dados estão agora na nossa lista de exclusão. Se mudar de ideia, escreva START aqui."
        }
        (Contacting::Never, Tongue::Portuguese, false) => {
            "Entendido: não o contactaremos. Não temos nenhum número ou endereço seu; se quiser colocá-lo na nossa lista de exclusão, escreva-o aqui."
        }
        (Contacting::Again, Tongue::English, _) => "Thank you: we may contact you again.",
        (Contacting::Again, Tongue::German, _) => "Danke: Wir dürfen Sie wieder kontaktieren.",
        (Contacting::Again, Tongue::French, _) => "Merci : nous pouvons à nouveau vous contacter.",
        (Contacting::Again, Tongue::Spanish, _) => "Gracias: podemos volver a contactarle.",
        (Contacting::Again, Tongue::Italian, _) => "Grazie: possiamo contattarla di nuovo.",
        (Contacting::Again, Tongue::Portuguese, _) => "Obrigado: podemos voltar a contactá-lo.",
    }
}

/// Whether somebody writes that they want no more messages, or nothing at all. A message that is one of the carriers' own words is for those who
/// know these words.
pub fn never_write(words: &Words) -> bool {
    never_write_in(words).is_some()
}

/// The same, with the language it was said in.
pub fn never_write_in(words: &Words) -> Option<Tongue> {
    let english = only_stop(words) || orders(words, NEVER_WRITE) || never_contact(words);
    if english { Some(Tongue::English) } else { abroad::never(words, What::Messages) }
}

fn never_contact(words: &Words) -> bool {
    orders(words, NEVER_CONTACT)
}

fn orders(words: &Words, phrases: &[&str]) -> bool {
    phrases.iter().filter_map(|phrase| words.find(phrase)).any(|place| {
        let all = words.all();
        let clause = all[place.start].clause;
        let rest =
            || all[place.end..].iter().take_while(move |word| word.clause == clause).map(|word| word.text.as_str());
        let before = all[..place.start].last().filter(|word| word.clause == clause);
        let said_before = |list: &[&str]| before.is_some_and(|word| list.contains(&word.text.as_str()));
        let tells = MAY_TELL.contains(&all[place.start].text.as_str())
            && said_before(TELLS)
            && !rest().any(|word| FOR_EVER.contains(&word));
        let other = rest().any(|word| BUT_SOMETIMES.contains(&word) || NOT_THAT.contains(&word));
        !tells && !other && !said_before(OPPOSITE)
    })
}

/// Whether a message is nothing but a stop, politely or not. "Please don't stop" and "I can't stop the leak" say more.
fn only_stop(words: &Words) -> bool {
    let among = |list: &[&str], word: &str| list.contains(&word);
    words.len() <= SHORT_WORDS_MAX
        && words.all().iter().any(|word| among(ORDERS, &word.text))
        && words.all().iter().all(|word| among(ORDERS, &word.text) || among(AROUND, &word.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_no_messages_is_heard_in_their_own_words() {
        for text in [
            "STOP please",
            "please stop",
            "Stop texting me",
            "stop texting me!!",
            "remove me from your list",
            "UNSUBSCRIBE ME",
            "Please take me off your list.",
            "I want to opt out",
            "No more texts please",
            "No remove me from the list",
            "Do not contact me again",
            "don’t text me anymore",
            "Who is this? Stop sending me messages",
            "you do not text me ever again",
        ] {
            assert!(never_write(&Words::of(text)), "{text}");
        }
        for text in [
            "I can't stop the leak",
            "please don't stop",
            "Please stop by at five",
            "stop the leak in my kitchen",
            "Can you stop the water?",
            "when will it stop",
            "the bus stop",
            "you never text me back",
            "why don't you text me the price",
            "don't remove me from the list",
            "please don't stop texting me",
            "remove me from the waiting list",
            "don't text me before nine",
            "I did not want to cancel",
        ] {
            assert!(!never_write(&Words::of(text)), "{text}");
        }
        assert!(!never_write(&Words::of("")));
    }

    #[test]
    fn who_wants_no_calls_is_told_from_who_waits_for_one() {
        for text in
            ["do not call this number again", "take me off your list", "Stop calling me", "You do not call me again"]
        {
            assert!(never_call(&Words::of(text)), "{text}");
        }
        for text in [
            "you never call me back",
            "They don't call back",
            "don't call before nine",
            "take me off hold",
            "I can't stop the leak",
        ] {
            assert!(!never_call(&Words::of(text)), "{text}");
        }
        let calls_only = Words::of("Don't call me, a message is fine");
        assert!(never_call(&calls_only) && !never_write(&calls_only));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,80}") {
            let words = Words::of(&text);
            let _ = (never_call(&words), never_write(&words));
        }
    }
}
