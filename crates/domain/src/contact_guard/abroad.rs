//! The same wishes as [`super::said`] reads, in German, French, Spanish, Italian and Portuguese: words without accents, as people type them.

use super::said::Tongue;
use crate::text::{Words, search::fold};

/// What somebody wants no more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Calls.
    Calls,
    /// Messages, or anything at all.
    Messages,
}

/// How one language says it. Phrases are words as [`fold`] leaves them.
struct Language {
    tongue: Tongue,
    contact: &'static [&'static str],
    write: &'static [&'static str],
    call: &'static [&'static str],
    /// May be contacted again.
    again: &'static [&'static str],
    /// After a phrase they mean a time and not for ever.
    sometimes: &'static [&'static str],
    /// Before a phrase they ask why somebody does not.
    why: &'static [&'static str],
}

const LANGUAGES: [Language; 5] = [
    Language {
        tongue: Tongue::German,
        contact: &[
            "nicht mehr kontaktieren",
            "nie wieder kontaktieren",
            "kontaktieren sie mich nicht",
            "kontaktieren sie uns nicht",
            "kontaktiert mich nicht",
            "kontaktiere mich nicht",
            "nicht kontaktiert werden",
            "nicht mehr kontaktiert werden",
            "keinen kontakt mehr",
            "kein kontakt mehr",
            "loschen sie meine nummer",
            "loeschen sie meine nummer",
            "streichen sie mich",
            "nehmen sie mich von",
            "melden sie sich nicht mehr",
            "meldet euch nicht mehr",
            "lassen sie mich in ruhe",
            "lasst mich in ruhe",
        ],
        write: &[
            "keine nachrichten mehr",
            "keine sms mehr",
            "keine mails mehr",
            "keine e mails mehr",
            "keine emails mehr",
            "schreiben sie mir nicht mehr",
            "schreibt mir nicht mehr",
            "schreib mir nicht mehr",
            "nicht mehr schreiben",
        ],
        call: &[
            "nicht mehr anrufen",
            "nie wieder anrufen",
            "nicht mehr angerufen werden",
            "keine anrufe mehr",
            "rufen sie mich nicht mehr an",
            "rufen sie nicht mehr an",
            "rufen sie mich nicht wieder an",
            "rufen sie mich nie wieder an",
            "ruft mich nicht mehr an",
            "ruf mich nicht mehr an",
        ],
        again: &["wieder kontaktieren", "wieder schreiben", "wieder anrufen"],
        sometimes: &["vor", "nach", "bis", "heute", "jetzt", "morgen", "zwischen", "wahrend", "so", "abends", "nachts"],
        why: &["warum", "wieso", "weshalb"],
    },
    Language {
        tongue: Tongue::French,
        contact: &[
            "ne me contactez plus",
            "ne me contactez pas",
            "ne me contacte plus",
            "ne nous contactez plus",
            "ne plus me contacter",
            "ne plus etre contacte",
            "ne plus etre contactee",
            "plus etre contacte",
            "plus etre contactee",
            "arretez de me contacter",
            "retirez moi de",
            "enlevez moi de",
            "supprimez mon numero",
            "effacez mon numero",
            "desinscrivez moi",
            "laissez moi tranquille",
        ],
        write: &[
            "ne mecrivez plus",
            "ne mecris plus",
            "ne menvoyez plus",
            "ne plus mecrire",
            "ne plus menvoyer",
            "arretez de mecrire",
            "arretez de menvoyer",
            "ne plus recevoir de messages",
            "ne veux plus recevoir",
        ],
        call: &[
            "ne mappelez plus",
            "ne mappelez pas",
            "ne mappelle plus",
            "ne plus mappeler",
            "ne me telephonez plus",
            "arretez de mappeler",
            "plus etre appele",
            "plus etre appelee",
        ],
        again: &["me recontacter", "me contacter a nouveau", "me contacter de nouveau", "mecrire a nouveau"],
        sometimes: &[
            "avant",
            "apres",
            "jusqu",
            "jusqua",
            "aujourdhui",
            "maintenant",
            "demain",
            "entre",
            "pendant",
            "ce",
            "si",
        ],
        why: &["pourquoi"],
    },
    Language {
        tongue: Tongue::Spanish,
        contact: &[
            "no me contacten",
            "no me contacte",
            "no me contactes",
            "no nos contacten",
            "no vuelvan a contactarme",
            "no vuelva a contactarme",
            "dejen de contactarme",
            "deje de contactarme",
            "no quiero que me contacten",
            "no quiero ser contactado",
            "no quiero ser contactada",
            "borren mi numero",
            "borre mi numero",
            "quiteme de",
            "quitenme de",
            "denme de baja",
            "deme de baja",
            "dame de baja",
            "dejenme en paz",
            "dejeme en paz",
        ],
        write: &[
            "no me escriban",
            "no me escriba",
            "no me escribas",
            "dejen de escribirme",
            "deje de escribirme",
            "no me envien mas",
            "no me envie mas",
            "no me manden mas",
            "no me mande mas",
            "no mas mensajes",
            "no quiero mas mensajes",
        ],
        call: &[
            "no me llamen",
            "no me llame",
            "no me llames",
            "no me vuelvan a llamar",
            "no me vuelva a llamar",
            "dejen de llamarme",
            "deje de llamarme",
            "no quiero mas llamadas",
            "no mas llamadas",
        ],
        again: &["volver a contactarme", "contactarme de nuevo", "contactarme otra vez", "escribirme de nuevo"],
        sometimes: &["antes", "despues", "hasta", "hoy", "ahora", "manana", "entre", "durante", "tan"],
        why: &["que", "porque"],
    },
    Language {
        tongue: Tongue::Italian,
        contact: &[
            "non contattatemi",
            "non mi contattate",
            "non mi contatti",
            "non contattarmi",
            "non voglio essere contattato",
            "non voglio essere contattata",
            "non voglio piu essere contattato",
            "non voglio piu essere contattata",
            "smettete di contattarmi",
            "smetta di contattarmi",
            "cancellate il mio numero",
            "cancelli il mio numero",
            "toglietemi dalla",
            "cancellatemi dalla",
            "lasciatemi in pace",
        ],
        write: &[
            "non scrivetemi",
            "non mi scrivete",
            "non mi scriva",
            "non scrivermi",
            "smettete di scrivermi",
            "smetta di scrivermi",
            "basta messaggi",
            "niente piu messaggi",
            "non mandatemi piu",
        ],
        call: &[
            "non chiamatemi",
            "non mi chiamate",
            "non mi chiami",
            "non chiamarmi",
            "non telefonatemi",
            "smettete di chiamarmi",
            "smetta di chiamarmi",
            "niente piu chiamate",
        ],
        again: &["contattarmi di nuovo", "contattarmi ancora", "ricontattarmi", "scrivermi di nuovo"],
        sometimes: &[
            "prima", "dopo", "fino", "oggi", "adesso", "ora", "domani", "tra", "fra", "durante", "cosi", "alle",
        ],
        why: &["perche"],
    },
    Language {
        tongue: Tongue::Portuguese,
        contact: &[
            "nao me contactem",
            "nao me contatem",
            "nao me contate",
            "nao me contacte",
            "nao entrem em contato",
            "nao entre em contato",
            "nao entrem em contacto",
            "nao entre em contacto",
            "nao quero ser contatado",
            "nao quero ser contatada",
            "nao quero ser contactado",
            "nao quero ser contactada",
            "parem de me contatar",
            "parem de me contactar",
            "retirem meu numero",
            "removam meu numero",
            "apaguem meu numero",
            "apaguem o meu numero",
            "me tirem da",
            "tirem me da",
            "me deixem em paz",
        ],
        write: &[
            "nao me escrevam",
            "nao me escreva",
            "parem de me escrever",
            "parem de me enviar",
            "parem de mandar mensagens",
            "nao me mandem mais",
            "nao me enviem mais",
            "nao quero mais mensagens",
        ],
        call: &[
            "nao me liguem",
            "nao me ligue",
            "nao me telefonem",
            "nao me telefone",
            "parem de me ligar",
            "pare de me ligar",
            "nao quero mais ligacoes",
        ],
        again: &["me contatar novamente", "me contactar novamente", "entrar em contato de novo", "me contatar de novo"],
        sometimes: &["antes", "depois", "ate", "hoje", "agora", "amanha", "entre", "durante", "tao"],
        why: &["que", "porque"],
    },
];

/// In which language somebody says that they want no more of it, if they do.
pub(super) fn never(words: &Words, what: What) -> Option<Tongue> {
    let folded = folded(words);
    LANGUAGES.iter().find_map(|language| {
        let more = match what {
            What::Calls => language.call,
            What::Messages => language.write,
        };
        let phrases = language.contact.iter().chain(more);
        phrases.into_iter().any(|phrase| language.means(&folded, phrase)).then_some(language.tongue)
    })
}

/// In which language somebody says that they may be contacted again, if they do.
pub(super) fn again(words: &Words) -> Option<Tongue> {
    let folded = folded(words);
    let says = |language: &&Language| language.again.iter().any(|phrase| !places(&folded, phrase).is_empty());
    LANGUAGES.iter().find(says).map(|language| language.tongue)
}

impl Language {
    fn means(&self, words: &[(String, usize)], phrase: &str) -> bool {
        places(words, phrase).into_iter().any(|(start, end)| {
            let clause = words[start].1;
            let rest = words[end..].iter().take_while(|word| word.1 == clause);
            let before = words[..start].iter().rev().take_while(|word| word.1 == clause);
            let among = |list: &[&str], word: &(String, usize)| list.contains(&word.0.as_str());
            !rest.clone().any(|word| among(self.sometimes, word)) && !before.clone().any(|word| among(self.why, word))
        })
    }
}

fn folded(words: &Words) -> Vec<(String, usize)> {
    words.all().iter().map(|word| (fold(&word.text), word.clause)).collect()
}

/// Where a phrase stands within one clause: from, to.
fn places(words: &[(String, usize)], phrase: &str) -> Vec<(usize, usize)> {
    let wanted: Vec<&str> = phrase.split(' ').collect();
    let fits = |(start, window): (usize, &[(String, usize)])| {
        let same = window.iter().zip(&wanted).all(|(word, wanted)| word.0 == *wanted && word.1 == window[0].1);
        same.then_some((start, start + wanted.len()))
    };
    words.windows(wanted.len()).enumerate().filter_map(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_nothing_more_is_heard_in_five_more_languages() {
        for (text, tongue) in [
            ("Bitte kontaktieren Sie mich nicht mehr.", Tongue::German),
            ("Ich möchte nicht mehr kontaktiert werden", Tongue::German),
            ("Bitte löschen Sie meine Nummer!", Tongue::German),
            ("Schreiben Sie mir nicht mehr", Tongue::German),
            ("S'il vous plaît, ne me contactez plus", Tongue::French),
            ("Ne m’écrivez plus jamais", Tongue::French),
            ("je ne veux plus être contactée", Tongue::French),
            ("Por favor, no me contacten más", Tongue::Spanish),
            ("Denme de baja de su lista", Tongue::Spanish),
            ("no me escriban más", Tongue::Spanish),
            ("Per favore non contattatemi più", Tongue::Italian),
            ("Smettete di scrivermi", Tongue::Italian),
            ("Por favor não me contatem mais", Tongue::Portuguese),
            ("Não entrem em contato comigo", Tongue::Portuguese),
        ] {
            assert_eq!(never(&Words::of(text), What::Messages), Some(tongue), "{text}");
        }
        for (text, tongue) in [
            ("Rufen Sie mich nicht mehr an", Tongue::German),
            ("Ne m'appelez plus", Tongue::French),
            ("No me llamen más", Tongue::Spanish),
            ("Non chiamatemi più", Tongue::Italian),
            ("Não me liguem mais", Tongue::Portuguese),
        ] {
            assert_eq!(never(&Words::of(text), What::Calls), Some(tongue), "{text}");
            assert_eq!(never(&Words::of(text), What::Messages), None, "{text}: messages may go on");
        }
    }

    #[test]
    fn who_means_a_time_or_asks_why_is_not_taken_for_one() {
        for text in [
            "Kontaktieren Sie mich nicht vor neun Uhr",
            "Warum kontaktieren Sie mich nicht?",
            "Ich möchte nicht mehr warten",
            "Ne m'appelez pas avant neuf heures",
            "Pourquoi ne m'appelez pas ?",
            "No me llamen antes de las nueve",
            "¿Por qué no me contacten?",
            "No me llamo Juan",
            "Perché non mi chiamate?",
            "Non chiamatemi prima delle nove",
            "Não me liguem antes das nove",
            "Können Sie mich kontaktieren?",
            "",
        ] {
            for what in [What::Messages, What::Calls] {
                assert_eq!(never(&Words::of(text), what), None, "{text}");
            }
        }
    }
}
