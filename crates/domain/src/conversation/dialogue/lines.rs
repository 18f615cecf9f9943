//! The few sentences that no template brings.

use crate::text;

/// Somebody was alerted.
pub(super) const ALERTED: &str = "I've alerted our team.";
/// Nobody can be alerted, but people will see it.
pub(super) const FLAGGED: &str = "I've marked this as urgent for our team.";
/// A transfer is under way and no rule has words of its own.
pub(super) const ALREADY_TOLD: &str = "I've let the team know that you'd like to talk to a person.";
/// Nobody can be called.
pub(super) const NO_TRANSFER: &str =
    "I can't connect you directly, but I can take your details so that someone gets back to you.";
/// The visitor declined a person.
pub(super) const OFFER_DECLINED: &str = "No problem. I'm here if you need anything else.";
/// The visitor broke a form off.
pub(super) const CANCELLED: &str = "No problem, I've stopped there. Is there anything else I can help with?";
/// An optional question was passed over.
pub(super) const SKIPPED: &str = "No problem.";
/// A required question was refused once.
pub(super) const REQUIRED: &str = "I understand. We do need this one so that the team can help you.";
/// A question was asked in vain and is passed over.
pub(super) const MOVE_ON: &str = "Let's leave that for now.";
/// A contact question was asked in vain.
pub(super) const OFFER_AFTER_PROBLEM: &str =
    "If you'd rather, I can ask a team member to help you with this. Would you like that?";
/// A form ended with gaps.
pub(super) const INCOMPLETE: &str = "Thank you, I've noted what you've told me for the team.";
/// A form ended complete and has no words of its own.
pub(super) const CONFIRMED: &str = "Thank you. I've passed your details on to the team, and they'll be in touch.";
/// Contact details came outside of any form.
pub(super) const NOTED: &str = "Thanks, I've noted that for the team.";
/// A form is shown.
pub(super) const FORM_SHOWN: &str = "Sure, please fill in the form below.";
/// The business is closed and nobody wrote words for it.
pub(super) const CLOSED: &str =
    "We're closed right now, but leave your details and someone will get back to you when we open.";
/// The business is closed, said again.
pub(super) const STILL_CLOSED: &str = "We're still closed, but I've noted your message for the team.";
/// A person is offered and no rule has words for it.
pub(super) const OFFER_PERSON: &str =
    "I'm sorry about the trouble. Would you like me to ask a team member to help you?";
/// A form is offered after an informational question.
pub(super) const OFFER_FORM: &str = "Would you like me to get that started for you?";
/// The visitor said thanks.
pub(super) const WELCOME: &str = "You're welcome! Is there anything else I can help with?";
/// The visitor said goodbye.
pub(super) const GOODBYE: &str = "Thank you for getting in touch. Have a great day!";
/// The visitor greets again.
pub(super) const HELLO_AGAIN: &str = "Hello! How can I help?";
/// The visitor agrees to nothing in particular.
pub(super) const GO_ON: &str = "Great. What can I help you with?";
/// A picture, a voice message or another file came without words: only people can look at it.
pub(super) const FILES: &str = "Thank you, I've put what you sent in front of our team. I can't look at files or listen to recordings myself: is there anything you'd like to tell me in words?";
/// The same, where the visitor is being asked something.
pub(super) const FILES_ASIDE: &str = "Thank you, our team will look at what you sent; I can only read words.";
/// The visitor only tries to give the agent orders.
pub(super) const NOT_THAT: &str = "I can't help with that, but I'm happy to answer questions about our business.";

/// Somebody who is called does not want it.
pub(super) const NOT_INTERESTED: &str = "I understand. Thank you for your time. Goodbye.";
/// Somebody wants never to be called again.
pub(super) const NEVER_AGAIN: &str = "I understand. We will not call this number again. Goodbye.";
/// Somebody wants to be called again and has not said when.
pub(super) const ASK_WHEN: &str = "Of course. When may I call you again?";
/// And still has not.
pub(super) const WITHOUT_A_TIME: &str = "All right, I have noted that you would like to be called again. Goodbye.";

/// A time to call again was agreed.
pub(super) fn when_agreed(when: &str) -> String {
    format!("Thank you, I have noted it: {}. I will call you then. Goodbye.", text::one_line(when))
}

/// A form that a person interrupted may go on.
pub(super) fn go_on_with(title: &str) -> String {
    match title.trim() {
        "" => "Would you like to go on where we stopped?".to_owned(),
        title => format!("Would you like to go on with your {title}? I still have what you told me."),
    }
}

/// A confirmation for somebody who was told before that people are alerted.
pub(super) fn updated(line: &str) -> String {
    line.replace("I've alerted", "I've updated").replace("I’ve alerted", "I’ve updated")
}

/// Words that were written to be read beside a form, as they are said to somebody who has none before them.
pub(super) fn for_the_ear(line: &str) -> String {
    const SAID: [(&str, &str); 8] = [
        ("By sending your details", "By giving me your details"),
        ("by sending your details", "by giving me your details"),
        ("By submitting this form", "By giving me your details"),
        ("by submitting this form", "by giving me your details"),
        ("By filling in this form", "By giving me your details"),
        ("By filling out this form", "By giving me your details"),
        ("in this chat", "on this call"),
        ("through this form", "on this call"),
    ];
    SAID.iter().fold(line.to_owned(), |line, (written, said)| line.replace(written, said))
}

/// What is wrong with an e-mail address.
pub(super) const EMAIL_PROBLEM: &str =
    "Sorry, that e-mail address doesn't look complete. It should look like name@example.com.";
/// What is wrong with a day.
pub(super) const DATE_PROBLEM: &str =
    "Sorry, I didn't catch a day. Something like \"Tuesday afternoon\" or a date is fine.";
/// A day in the past.
pub(super) const DATE_PAST: &str = "Sorry, that day has already passed.";
/// What is wrong with a name.
pub(super) const NAME_PROBLEM: &str = "Sorry, I didn't catch your name.";
/// What is wrong with an address.
pub(super) const ADDRESS_PROBLEM: &str = "Could you give me the street and house number as well?";
/// Nothing was said.
pub(super) const TEXT_PROBLEM: &str = "Sorry, I didn't get that.";

/// How each built-in contact field is asked for.
pub(super) const ASK_NAME: &str = "What's your name?";
/// See [`ASK_NAME`].
pub(super) const ASK_PHONE: &str = "What's the best number to reach you?";
/// See [`ASK_NAME`].
pub(super) const ASK_EMAIL: &str = "What's your e-mail address?";

/// A handover's words without the sentences that ask for a name or a number, for a visitor who can be reached `at` it.
pub(super) fn without_asking(line: &str, at: &str) -> String {
    const ASKS: [&str; 9] = [
        "leave your",
        "leave me your",
        "leave us your",
        "give me your",
        "tell me your",
        "share your",
        "your name and",
        "what is your",
        "whats your",
    ];
    let asks = |sentence: &str| {
        let words = text::Words::of(sentence);
        ASKS.iter().any(|phrase| words.find(phrase).is_some())
    };
    let kept: Vec<&str> = text::sentences(line).into_iter().filter(|sentence| !asks(sentence)).collect();
    let told = if kept.is_empty() { ALREADY_TOLD.to_owned() } else { kept.join(" ") };
    format!("{told} If nobody can join right now, they'll get back to you at {at}.")
}

/// Nobody can be called, and the visitor said how to be reached.
pub(super) fn noted_without_transfer(at: &str) -> String {
    format!("I can't connect you directly, but I've noted your details, and someone will get back to you at {at}.")
}

/// What is wrong with a choice.
pub(super) fn choose_one(options: &[String]) -> String {
    match options {
        [] => TEXT_PROBLEM.to_owned(),
        [only] => format!("Sorry, please choose: {only}."),
        [head @ .., last] => format!("Sorry, please choose one of {} or {last}.", head.join(", ")),
    }
}

/// A completed form is asked for again.
pub(super) const ALREADY_HAVE: &str = "I already have your details for that, and the team will be in touch.";
