//! Who said in a conversation of the website that they want to be left alone: the numbers and addresses it knows, for the do-not-contact list.

use super::{Event, State, dialogue::Facts, state::Contact};
use crate::contact_guard::{Address, Reach, said::Contacting};

/// A number or address, and what becomes of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Wished {
    /// Whose.
    pub address: Address,
    /// What is forbidden, or allowed again.
    pub reach: Reach,
    /// Never again, or again.
    pub stop: bool,
}

/// What an event, after which the state is `state`, says about the list: what the visitor wishes holds for all that is known of them, and for what
/// they tell afterwards.
pub fn wished(state: &State, event: &Event) -> Vec<Wished> {
    let Some(facts) = facts(event).filter(|_| !state.is_tried()) else { return Vec::new() };
    let vouched = Contact { name: None, email: state.visitor.email.clone(), phone: state.visitor.phone.clone() };
    let (stop, told) = match facts.contacting {
        Some(contacting) => {
            // What was corrected since is theirs as well.
            let told = state.former.iter().cloned().chain([state.contact.clone(), vouched]);
            (contacting == Contacting::Never, told.collect())
        }
        None if state.dialogue.no_contact => (true, vec![facts.contact.clone()]),
        None => return Vec::new(),
    };
    let mut wished: Vec<Wished> = Vec::new();
    for contact in told {
        let phone = contact.phone.and_then(|phone| Address::phone(&phone).ok()).map(|address| (address, Reach::Phone));
        let email = contact.email.and_then(|email| Address::email(&email).ok()).map(|address| (address, Reach::Email));
        for (address, reach) in phone.into_iter().chain(email) {
            if wished.iter().all(|known| known.address != address) {
                wished.push(Wished { address, reach, stop });
            }
        }
    }
    wished
}

fn facts(event: &Event) -> Option<&Facts> {
    match event {
        Event::Understood { understanding, .. } => Some(&understanding.facts),
        Event::Answered(given) => given.understanding.as_ref().map(|understanding| &understanding.facts),
        Event::FormSubmitted { facts, .. } => Some(facts),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::dialogue::Understanding;

    fn understood(facts: Facts) -> Event {
        let understanding = Understanding { facts, ..Understanding::default() };
        Event::Understood { turn: "turn-1".into(), attempt: 1, understanding: Box::new(understanding) }
    }

    #[test]
    fn what_is_known_and_what_is_told_afterwards_goes_to_the_list_and_only_on_that_wish() {
        let mut state = State::default();
        state.contact.phone = Some("+12175550133".into());
        state.visitor.email = Some("ann@lee.com".into());
        let never = understood(Facts { contacting: Some(Contacting::Never), ..Facts::default() });
        let of = |wished: Vec<Wished>| wished.into_iter().map(|one| (one.reach, one.stop)).collect::<Vec<_>>();
        assert_eq!(of(wished(&state, &never)), [(Reach::Phone, true), (Reach::Email, true)]);
        let told = Contact { phone: Some("+12175550144".into()), ..Contact::default() };
        let later = understood(Facts { contact: told, ..Facts::default() });
        assert!(wished(&state, &later).is_empty());
        state.dialogue.no_contact = true;
        assert_eq!(of(wished(&state, &later)), [(Reach::Phone, true)]);
        let again = understood(Facts { contacting: Some(Contacting::Again), ..Facts::default() });
        assert_eq!(of(wished(&state, &again)), [(Reach::Phone, false), (Reach::Email, false)]);
        for (sandbox, trial) in [(true, false), (false, true)] {
            (state.sandbox, state.visitor.trial) = (sandbox, trial);
            assert!(wished(&state, &never).is_empty(), "whoever only tries it has no wish of their own");
        }
    }
}
