//! What a colleague hears before they take a call, and what the caller hears when nobody takes it: short, in the agent's language, from the
//! conversation. Words of the caller are given as they said them.

use crate::{
    agent::config::AgentConfig,
    conversation::{State, calls_a_person},
    ids::CallId,
    text,
    vocabulary::{MessageRole, Urgency},
};

/// Characters of the caller's words: some ten seconds of speech, with the caller waiting.
const QUOTE_CHARS_MAX: usize = 160;
/// Words from which on somebody has said what they want, rather than "yes".
const WORDS_THAT_SAY_SOMETHING: usize = 3;
/// The name among the `voice_scripts` of what a caller is told whom nobody took.
const NOBODY_TOOK: &str = "transfer_failed";
/// And of what they are told before the beep.
const LEAVE_MESSAGE: &str = "voicemail";

/// What is said around a transfer in one language.
pub struct Phrases {
    language: &'static str,
    /// `{business}` and `{who}`.
    on_line: &'static str,
    somebody: &'static str,
    urgent: &'static str,
    /// `{words}`.
    said: &'static str,
    nothing_said: &'static str,
    /// Which keys do what.
    pub keys: &'static str,
    /// The colleague takes it.
    pub connecting: &'static str,
    /// The colleague does not.
    pub taken_back: &'static str,
    /// The caller is not there any more.
    pub gone: &'static str,
    nobody_took: &'static str,
    leave_message: &'static str,
    /// That no person speaks.
    pub automated: &'static str,
    /// Who calls: `{business}`.
    calls: &'static str,
}

const PHRASES: [Phrases; 6] = [
    Phrases {
        language: "en",
        on_line: "This is {business}. I have {who} on the line.",
        somebody: "a caller",
        urgent: "It is urgent.",
        said: "They said: {words}.",
        nothing_said: "They asked for a person.",
        keys: "Press 1 to take the call, or 2 to send it back.",
        connecting: "Connecting you now.",
        taken_back: "All right, I will take care of it. Goodbye.",
        gone: "The caller has hung up. Goodbye.",
        nobody_took: "I'm sorry, nobody could take your call just now. I have noted it, and somebody will call you back. Is there anything else I can do for you?",
        leave_message: "Please leave a message after the beep.",
        automated: "You're talking with an AI assistant.",
        calls: "Hello, this is {business}.",
    },
    Phrases {
        language: "de",
        on_line: "Hier ist {business}. {who} ist am Apparat.",
        somebody: "Jemand",
        urgent: "Es ist dringend.",
        said: "Das Anliegen: {words}.",
        nothing_said: "Gewünscht ist ein persönliches Gespräch.",
        keys: "Drücken Sie die 1, um das Gespräch zu übernehmen, oder die 2, um es zurückzugeben.",
        connecting: "Ich verbinde.",
        taken_back: "In Ordnung, ich kümmere mich darum. Auf Wiederhören.",
        gone: "Es wurde aufgelegt. Auf Wiederhören.",
        nobody_took: "Es tut mir leid, gerade konnte niemand Ihr Gespräch übernehmen. Ich habe es notiert, und Sie werden zurückgerufen. Kann ich sonst noch etwas für Sie tun?",
        leave_message: "Bitte sprechen Sie nach dem Signalton.",
        automated: "Sie sprechen mit einem KI-Assistenten.",
        calls: "Guten Tag, hier ist {business}.",
    },
    Phrases {
        language: "fr",
        on_line: "Ici {business}. J'ai {who} en ligne.",
        somebody: "quelqu'un",
        urgent: "C'est urgent.",
        said: "Sa demande : {words}.",
        nothing_said: "Cette personne souhaite parler à quelqu'un.",
        keys: "Appuyez sur 1 pour prendre l'appel, ou sur 2 pour le renvoyer.",
        connecting: "Je vous mets en relation.",
        taken_back: "Très bien, je m'en occupe. Au revoir.",
        gone: "La personne a raccroché. Au revoir.",
        nobody_took: "Je suis désolé, personne n'a pu prendre votre appel pour le moment. Je l'ai noté et on vous rappellera. Puis-je faire autre chose pour vous ?",
        leave_message: "Merci de laisser un message après le bip.",
        automated: "Vous parlez avec un assistant IA.",
        calls: "Bonjour, ici {business}.",
    },
    Phrases {
        language: "es",
        on_line: "Aquí {business}. Tengo a {who} en la línea.",
        somebody: "una persona",
        urgent: "Es urgente.",
        said: "Ha dicho: {words}.",
        nothing_said: "Quiere hablar con una persona.",
        keys: "Pulse 1 para atender la llamada, o 2 para devolverla.",
        connecting: "Le paso la llamada.",
        taken_back: "De acuerdo, me ocupo yo. Adiós.",
        gone: "La persona ha colgado. Adiós.",
        nobody_took: "Lo siento, ahora mismo nadie ha podido atender su llamada. Lo he anotado y le devolverán la llamada. ¿Puedo ayudarle en algo más?",
        leave_message: "Deje un mensaje después de la señal.",
        automated: "Está hablando con un asistente de IA.",
        calls: "Hola, le llamamos de {business}.",
    },
    Phrases {
        language: "it",
        on_line: "Qui è {business}. Ho {who} in linea.",
        somebody: "una persona",
        urgent: "È urgente.",
        said: "Ha detto: {words}.",
        nothing_said: "Vuole parlare con una persona.",
        keys: "Prema 1 per prendere la chiamata, o 2 per rimandarla.",
        connecting: "La metto in contatto.",
        taken_back: "Va bene, me ne occupo io. Arrivederci.",
        gone: "La persona ha riattaccato. Arrivederci.",
        nobody_took: "Mi dispiace, al momento nessuno ha potuto prendere la chiamata. L'ho annotata e verrà richiamato. Posso fare altro per Lei?",
        leave_message: "Lasci un messaggio dopo il segnale acustico.",
        automated: "Sta parlando con un assistente IA.",
        calls: "Buongiorno, qui è {business}.",
    },
    Phrases {
        language: "pt",
        on_line: "Aqui é {business}. Tenho {who} na linha.",
        somebody: "uma pessoa",
        urgent: "É urgente.",
        said: "Disse: {words}.",
        nothing_said: "Quer falar com uma pessoa.",
        keys: "Prima 1 para atender a chamada, ou 2 para a devolver.",
        connecting: "Vou passar a chamada.",
        taken_back: "Está bem, eu trato disso. Adeus.",
        gone: "A pessoa desligou. Adeus.",
        nobody_took: "Lamento, neste momento ninguém pôde atender a sua chamada. Já tomei nota e vão ligar-lhe de volta. Posso ajudar em mais alguma coisa?",
        leave_message: "Deixe uma mensagem após o sinal.",
        automated: "Está a falar com um assistente de IA.",
        calls: "Olá, aqui é {business}.",
    },
];

/// The phrases of a language tag such as `de-AT`; English where there are none.
pub fn phrases(language: &str) -> &'static Phrases {
    let language = language.split(['-', '_']).next().unwrap_or_default().to_lowercase();
    PHRASES.iter().find(|phrases| phrases.language == language).unwrap_or(&PHRASES[0])
}

/// Who calls and why, for the colleague who is to take the call.
pub fn summary(config: &AgentConfig, state: &State, call: &CallId) -> String {
    let phrases = phrases(&config.voice_language);
    let business = business(config);
    let name = state.contact.name.as_ref().or(state.visitor.name.as_ref()).map(|name| text::one_line(name));
    let who = name.filter(|name| !name.is_empty()).unwrap_or_else(|| phrases.somebody.to_owned());
    let mut said = vec![phrases.on_line.replace("{business}", business).replace("{who}", &who)];
    if matches!(state.urgency, Urgency::Emergency | Urgency::High) {
        said.push(phrases.urgent.to_owned());
    }
    said.push(match wish(state, call) {
        Some(words) => phrases.said.replace("{words}", words.trim_end_matches(['.', '!', '?'])),
        None => phrases.nothing_said.to_owned(),
    });
    text::one_line(&said.join(" "))
}

fn business(config: &AgentConfig) -> &str {
    config.variables.get("business_name").filter(|name| !name.trim().is_empty()).unwrap_or(&config.name)
}

/// How somebody is greeted who is called, where the owner has no words for it: with who calls. A welcome thanks people for calling.
pub fn who_calls(config: &AgentConfig) -> String {
    phrases(&config.voice_language).calls.replace("{business}", business(config).trim())
}

/// What the caller is told when nobody took the call: the owner's words, or ours.
pub fn nobody_took(config: &AgentConfig) -> &str {
    let own = config.voice_scripts.get(NOBODY_TOOK).map(|text| text.trim()).filter(|text| !text.is_empty());
    own.unwrap_or(phrases(&config.voice_language).nobody_took)
}

/// What a caller is told before the beep: the owner's words, or ours.
pub fn leave_message(config: &AgentConfig) -> &str {
    let own = config.voice_scripts.get(LEAVE_MESSAGE).map(|text| text.trim()).filter(|text| !text.is_empty());
    own.unwrap_or(phrases(&config.voice_language).leave_message)
}

/// The caller's own words that say most: of those before a person was asked for the longest, since "I want to talk to somebody" says nothing of why.
fn wish(state: &State, call: &CallId) -> Option<String> {
    let theirs = |message: &&crate::conversation::Message| {
        message.call.as_ref() == Some(call) && message.role == MessageRole::User && !message.whisper
    };
    let asked_ms = state
        .escalations
        .iter()
        .rev()
        .find(|escalation| calls_a_person(escalation.action))
        .map_or(i64::MAX, |escalation| escalation.at_ms);
    let words = |message: &crate::conversation::Message| message.content.split_whitespace().count();
    let all: Vec<_> = state.messages.iter().filter(theirs).collect();
    let before = all.iter().filter(|message| message.at_ms < asked_ms && words(message) >= WORDS_THAT_SAY_SOMETHING);
    let told = before
        .max_by_key(|message| words(message).min(30))
        .or_else(|| all.iter().rev().find(|message| words(message) >= WORDS_THAT_SAY_SOMETHING));
    told.map(|message| text::shorten(&text::one_line(&message.content), QUOTE_CHARS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Message;
    use crate::vocabulary::Channel;

    fn said(role: MessageRole, content: &str, at_ms: i64) -> Message {
        Message {
            id: "m".into(),
            seq: 1,
            role,
            whisper: false,
            author: None,
            channel: Channel::Voice,
            content: content.into(),
            sources: Vec::new(),
            confidence: None,
            prompt: None,
            turn: None,
            at_ms,
            thumbs_up: None,
            feedback: None,
            tokens: None,
            latency_ms: None,
            used: false,
            fallback: false,
            attachments: Vec::new(),
            files: Vec::new(),
            call: Some("k".into()),
            unheard: None,
            voicemail: false,
            typed: false,
        }
    }

    #[test]
    fn a_colleague_hears_who_calls_and_why_in_the_language_of_the_agent() {
        let mut config = AgentConfig { name: "Oak".into(), ..AgentConfig::default() };
        let mut state = State::default();
        assert_eq!(
            summary(&config, &state, &"k".into()),
            "This is Oak. I have a caller on the line. They asked for a person."
        );
        state.contact.name = Some("Ann Lee".into());
        state.messages = vec![
            said(MessageRole::User, "Hello", 1),
            said(MessageRole::Assistant, "How can I help you with your many pipes today, my friend?", 2),
            said(MessageRole::User, "The boiler in the cellar leaks.", 3),
            Message { call: Some("another".into()), ..said(MessageRole::User, "I want this and that and more.", 4) },
            said(MessageRole::User, "Can I please talk to somebody who knows about it?", 5),
        ];
        state.escalations = vec![crate::conversation::state::EscalationRecord {
            rule: "human_request".into(),
            action: crate::vocabulary::EscalationAction::Transfer,
            reason: "asked".into(),
            to: None,
            at_ms: 5,
        }];
        assert_eq!(
            summary(&config, &state, &"k".into()),
            "This is Oak. I have Ann Lee on the line. They said: The boiler in the cellar leaks."
        );
        (config.voice_language, state.urgency) = ("de-AT".into(), Urgency::Emergency);
        let german = summary(&config, &state, &"k".into());
        assert!(german.starts_with("Hier ist Oak. Ann Lee ist am Apparat. Es ist dringend. Das Anliegen:"), "{german}");
        config.voice_language = "sw".into();
        assert!(nobody_took(&config).starts_with("I'm sorry"));
        config.voice_scripts.insert(NOBODY_TOOK.into(), " Nobody is in. ".into());
        assert_eq!(nobody_took(&config), "Nobody is in.");
    }

    #[test]
    fn every_language_says_who_calls_and_names_both_keys() {
        for phrases in &PHRASES {
            let all = [phrases.on_line, phrases.said, phrases.keys];
            assert!(all[0].contains("{business}") && all[0].contains("{who}"), "{}", phrases.language);
            assert!(all[1].contains("{words}") && all[2].contains('1') && all[2].contains('2'), "{}", phrases.language);
        }
    }
}
