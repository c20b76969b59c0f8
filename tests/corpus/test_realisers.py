"""Meanings built by hand, and the sentence that a speaker expects for each."""

from typing import Any

import pytest

from weft.corpus import de, en, fr
from weft.corpus.meaning import (
    Clause,
    Date,
    Determiner,
    Existence,
    Gap,
    Hour,
    Link,
    Mood,
    Negation,
    NounPhrase,
    Person,
    Pronoun,
    Question,
    Relative,
    Sentence,
    Weekday,
    Whereabouts,
)
from weft.corpus.words import Adjective, Adverb, CalendarWord, Noun, Verb, lexicon

A, THE, THIS, MY, OUR = Determiner.A, Determiner.THE, Determiner.THIS, Determiner.MY, Determiner.OUR
I, YOU, HE, SHE, WE, THEY = (  # noqa: E741  the pronoun
    Pronoun(person) for person in (Person.I, Person.YOU, Person.HE, Person.SHE, Person.WE, Person.THEY)
)
IT = Pronoun(Person.IT)
PAST, FUTURE, CAN, MUST, WANT, LIKE = Mood.PAST, Mood.FUTURE, Mood.CAN, Mood.MUST, Mood.WANT, Mood.LIKE
NOT, NEVER = Negation.NOT, Negation.NEVER


def noun(name: str) -> Noun:
    return next(noun for noun in lexicon().nouns if noun.en.singular == name)


def verb(name: str) -> Verb:
    return next(verb for verb in lexicon().verbs if verb.name == name)


def adjective(name: str) -> Adjective:
    return next(adjective for adjective in lexicon().adjectives if adjective.en == name)


def adverb(name: str) -> Adverb:
    return next(adverb for adverb in lexicon().adverbs if adverb.en == name)


def calendar(name: str) -> CalendarWord:
    return next(word for word in (*lexicon().months, *lexicon().weekdays) if word.en == name)


def phrase(determiner: Determiner, words: str, **fields: Any) -> NounPhrase:
    """`phrase(A, "red apple")`, and `phrase(THE, "red apple", plural=True)` with "apple" still singular."""
    *before, name = words.split()
    described = adjective(before[0]) if before else None
    return NounPhrase(noun(name), determiner, adjective=described, **fields)


def several(determiner: Determiner, words: str, **fields: Any) -> NounPhrase:
    return phrase(determiner, words, plural=True, **fields)


def at(name: str, determiner: Determiner = THE, *, goal: bool = False) -> Whereabouts:
    place = next(place for place in lexicon().places if place.noun.en.singular == name)
    return Whereabouts(place, NounPhrase(place.noun, determiner), goal=goal)


def clause(subject: Any, name: str, mood: Mood = Mood.PRESENT, patient: Any = None, **fields: Any) -> Clause:
    return Clause(subject, verb(name), mood, object=patient, **fields)


def being(subject: Any, quality: str, mood: Mood = Mood.PRESENT, **fields: Any) -> Clause:
    return Clause(subject, None, mood, quality=adjective(quality), **fields)


WOMAN, MAN, CHILD, TEACHER = (phrase(THE, name) for name in ("woman", "man", "child", "teacher"))

EXPECTED: list[tuple[Clause | Existence | Sentence, str, str, str]] = [
    # German cases on determiners and adjectives, masculine; "the", "a", "this", "my"
    (
        clause(phrase(THE, "old man"), "see", PAST, phrase(THE, "small dog")),
        "The old man saw the small dog.",
        "Der alte Mann hat den kleinen Hund gesehen.",
        "Le vieil homme a vu le petit chien.",
    ),
    (
        clause(phrase(A, "tired man"), "look for", PAST, phrase(A, "red coat")),
        "A tired man looked for a red coat.",
        "Ein müder Mann hat einen roten Mantel gesucht.",
        "Un homme fatigué a cherché un manteau rouge.",
    ),
    (
        clause(phrase(THIS, "young friend"), "help", PAST, phrase(THIS, "sick student")),
        "This young friend helped this sick student.",
        "Dieser junge Freund hat diesem kranken Studenten geholfen.",
        "Ce jeune ami a aidé cet étudiant malade.",
    ),
    (
        clause(phrase(MY, "old uncle"), "help", PAST, phrase(MY, "poor neighbour")),
        "My old uncle helped my poor neighbour.",
        "Mein alter Onkel hat meinem armen Nachbarn geholfen.",
        "Mon vieil oncle a aidé mon voisin pauvre.",
    ),
    # feminine and neuter
    (
        clause(phrase(A, "old woman"), "help", PAST, phrase(A, "young nurse")),
        "An old woman helped a young nurse.",
        "Eine alte Frau hat einer jungen Krankenschwester geholfen.",
        "Une vieille femme a aidé une jeune infirmière.",
    ),
    (
        clause(phrase(A, "small child"), "help", PAST, phrase(A, "big horse")),
        "A small child helped a big horse.",
        "Ein kleines Kind hat einem großen Pferd geholfen.",
        "Un petit enfant a aidé un grand cheval.",
    ),
    (
        clause(phrase(THIS, "small child"), "find", PAST, phrase(MY, "new bicycle")),
        "This small child found my new bicycle.",
        "Dieses kleine Kind hat mein neues Fahrrad gefunden.",
        "Ce petit enfant a trouvé mon nouveau vélo.",
    ),
    # plural: weak, mixed, strong; dative -n; irregular English plurals; "de" before an early adjective
    (
        clause(several(THE, "brave woman"), "help", PAST, several(THE, "small child")),
        "The brave women helped the small children.",
        "Die mutigen Frauen haben den kleinen Kindern geholfen.",
        "Les femmes courageuses ont aidé les petits enfants.",
    ),
    (
        clause(several(MY, "old friend"), "sell", PAST, several(A, "beautiful flower")),
        "My old friends sold beautiful flowers.",
        "Meine alten Freunde haben schöne Blumen verkauft.",
        "Mes vieux amis ont vendu de belles fleurs.",
    ),
    (
        clause(SHE, "feed", PAST, several(A, "white mouse")),
        "She fed white mice.",
        "Sie hat weiße Mäuse gefüttert.",
        "Elle a nourri des souris blanches.",
    ),
    (
        clause(HE, "feed", PAST, several(THIS, "goose")),
        "He fed these geese.",
        "Er hat diese Gänse gefüttert.",
        "Il a nourri ces oies.",
    ),
    # what cannot be counted: strong endings, partitive articles
    (
        clause(WE, "drink", PAST, phrase(A, "cold water")),
        "We drank cold water.",
        "Wir haben kaltes Wasser getrunken.",
        "Nous avons bu de l'eau froide.",
    ),
    (
        clause(WE, "eat", PAST, phrase(A, "fresh bread")),
        "We ate fresh bread.",
        "Wir haben frisches Brot gegessen.",
        "Nous avons mangé du pain frais.",
    ),
    (
        clause(WE, "eat", PAST, phrase(A, "good soup")),
        "We ate good soup.",
        "Wir haben gute Suppe gegessen.",
        "Nous avons mangé de la bonne soupe.",
    ),
    # predicates: French agrees, German does not
    (
        being(several(THE, "lamp"), "new"),
        "The lamps are new.",
        "Die Lampen sind neu.",
        "Les lampes sont nouvelles.",
    ),
    (being(SHE, "happy", PAST), "She was happy.", "Sie war glücklich.", "Elle était heureuse."),
    (
        being(THEY, "tired", FUTURE, negation=NOT),
        "They will not be tired.",
        "Sie werden nicht müde sein.",
        "Ils ne vont pas être fatigués.",
    ),
    (
        being(WOMAN, "sad", frequency=adverb("often")),
        "The woman is often sad.",
        "Die Frau ist oft traurig.",
        "La femme est souvent triste.",
    ),
    # before a vowel
    (
        clause(HE, "love", patient=phrase(THIS, "old donkey")),
        "He loves this old donkey.",
        "Er liebt diesen alten Esel.",
        "Il aime ce vieil âne.",
    ),
    (
        clause(I, "love", patient=phrase(MY, "school")),
        "I love my school.",
        "Ich liebe meine Schule.",
        "J'aime mon école.",
    ),
    (
        clause(HE, "buy", PAST, phrase(A, "new computer")),
        "He bought a new computer.",
        "Er hat einen neuen Computer gekauft.",
        "Il a acheté un nouvel ordinateur.",
    ),
    (
        clause(HE, "visit", PAST, phrase(A, "university")),
        "He visited a university.",
        "Er hat eine Universität besichtigt.",
        "Il a visité une université.",
    ),
    # possessives of the subject
    (
        clause(HE, "forget", PAST, phrase(Determiner.HIS, "umbrella")),
        "He forgot his umbrella.",
        "Er hat seinen Regenschirm vergessen.",
        "Il a oublié son parapluie.",
    ),
    (
        clause(WOMAN, "forget", PAST, phrase(Determiner.HER, "watch")),
        "The woman forgot her watch.",
        "Die Frau hat ihre Uhr vergessen.",
        "La femme a oublié sa montre.",
    ),
    (
        clause(THEY, "wash", PAST, several(Determiner.THEIR, "shirt")),
        "They washed their shirts.",
        "Sie haben ihre Hemden gewaschen.",
        "Ils ont lavé leurs chemises.",
    ),
    (
        clause(phrase(OUR, "father"), "repair", PAST, phrase(OUR, "car")),
        "Our father repaired our car.",
        "Unser Vater hat unser Auto repariert.",
        "Notre père a réparé notre voiture.",
    ),
    # owners: the genitive, du, de la, de l', des
    (
        clause(I, "know", patient=phrase(THE, "new song", owner=TEACHER)),
        "I know the teacher's new song.",
        "Ich kenne das neue Lied des Lehrers.",
        "Je connais la nouvelle chanson du professeur.",
    ),
    (
        clause(I, "know", patient=phrase(THE, "story", owner=several(THE, "student"))),
        "I know the students' story.",
        "Ich kenne die Geschichte der Studenten.",
        "Je connais l'histoire des étudiants.",
    ),
    (
        clause(I, "know", patient=phrase(THE, "poem", owner=several(THE, "child"))),
        "I know the children's poem.",
        "Ich kenne das Gedicht der Kinder.",
        "Je connais le poème des enfants.",
    ),
    (
        clause(I, "know", patient=phrase(THE, "garden", owner=phrase(MY, "aunt"))),
        "I know my aunt's garden.",
        "Ich kenne den Garten meiner Tante.",
        "Je connais le jardin de ma tante.",
    ),
    # separable verbs in main clauses, questions and subordinate clauses
    (
        clause(WOMAN, "call", patient=phrase(THE, "doctor")),
        "The woman is calling the doctor.",
        "Die Frau ruft den Arzt an.",
        "La femme appelle le médecin.",
    ),
    (
        Sentence(
            clause(I, "sleep"), link=Link.BECAUSE, other=clause(SHE, "turn off", patient=phrase(THE, "lamp"))
        ),
        "I am sleeping because she is turning off the lamp.",
        "Ich schlafe, weil sie die Lampe ausschaltet.",
        "Je dors parce qu'elle éteint la lampe.",
    ),
    (
        clause(HE, "open", WANT, phrase(THE, "window")),
        "He wants to open the window.",
        "Er will das Fenster aufmachen.",
        "Il veut ouvrir la fenêtre.",
    ),
    (
        clause(HE, "open", PAST, phrase(THE, "door")),
        "He opened the door.",
        "Er hat die Tür aufgemacht.",
        "Il a ouvert la porte.",
    ),
    # sein and être, with agreement
    (
        clause(several(THE, "singer"), "arrive", PAST, where=at("station")),
        "The singers arrived at the station.",
        "Die Sängerinnen sind am Bahnhof angekommen.",
        "Les chanteuses sont arrivées à la gare.",
    ),
    (
        clause(SHE, "go", PAST, where=at("school", goal=True)),
        "She went to the school.",
        "Sie ist zur Schule gegangen.",
        "Elle est allée à l'école.",
    ),
    (
        clause(HE, "go", where=at("park", goal=True)),
        "He is going to the park.",
        "Er geht in den Park.",
        "Il va au parc.",
    ),
    # negation
    (
        clause(MAN, "buy", negation=NOT, patient=phrase(THE, "apple")),
        "The man is not buying the apple.",
        "Der Mann kauft den Apfel nicht.",
        "L'homme n'achète pas la pomme.",
    ),
    (
        clause(MAN, "buy", PAST, phrase(A, "apple"), negation=NOT),
        "The man did not buy an apple.",
        "Der Mann hat keinen Apfel gekauft.",
        "L'homme n'a pas acheté de pomme.",
    ),
    (
        clause(MAN, "eat", PAST, several(A, "egg"), negation=NOT),
        "The man did not eat any eggs.",
        "Der Mann hat keine Eier gegessen.",
        "L'homme n'a pas mangé d'œufs.",
    ),
    (
        clause(MAN, "eat", negation=NEVER, patient=phrase(A, "meat")),
        "The man never eats meat.",
        "Der Mann isst nie Fleisch.",
        "L'homme ne mange jamais de viande.",
    ),
    (
        clause(MAN, "wait for", CAN, phrase(MY, "brother"), negation=NOT),
        "The man cannot wait for my brother.",
        "Der Mann kann nicht auf meinen Bruder warten.",
        "L'homme ne peut pas attendre mon frère.",
    ),
    (
        clause(MAN, "see", PAST, I, negation=NOT),
        "The man did not see me.",
        "Der Mann hat mich nicht gesehen.",
        "L'homme ne m'a pas vu.",
    ),
    # pronouns as objects, and the participle that agrees with them
    (
        clause(WOMAN, "invite", PAST, WE),
        "The woman invited us.",
        "Die Frau hat uns eingeladen.",
        "La femme nous a invités.",
    ),
    (
        clause(WOMAN, "answer", PAST, YOU),
        "The woman answered you.",
        "Die Frau hat dir geantwortet.",
        "La femme t'a répondu.",
    ),
    (
        clause(WOMAN, "wait for", FUTURE, HE),
        "The woman will wait for him.",
        "Die Frau wird auf ihn warten.",
        "La femme va l'attendre.",
    ),
    # recipients
    (
        clause(WOMAN, "give", PAST, phrase(A, "book"), recipient=CHILD),
        "The woman gave the child a book.",
        "Die Frau hat dem Kind ein Buch gegeben.",
        "La femme a donné un livre à l'enfant.",
    ),
    (
        clause(HE, "show", patient=several(THE, "picture"), recipient=several(THE, "boy")),
        "He is showing the boys the pictures.",
        "Er zeigt den Jungen die Bilder.",
        "Il montre les images aux garçons.",
    ),
    (
        clause(HE, "bring", PAST, phrase(A, "tea"), recipient=I),
        "He brought me tea.",
        "Er hat mir Tee gebracht.",
        "Il m'a apporté du thé.",
    ),
    # verb second, with inversion after a time
    (
        clause(WOMAN, "buy", PAST, phrase(A, "dress"), time=adverb("yesterday"), time_first=True),
        "Yesterday, the woman bought a dress.",
        "Gestern hat die Frau ein Kleid gekauft.",
        "Hier, la femme a acheté une robe.",
    ),
    (
        clause(MAN, "call", FUTURE, I, time=adverb("tomorrow"), time_first=True),
        "Tomorrow, the man will call me.",
        "Morgen wird mich der Mann anrufen.",
        "Demain, l'homme va m'appeler.",
    ),
    (
        clause(I, "see", PAST, HE, time=Date(3, calendar("May")), time_first=True),
        "On the 3rd of May, I saw him.",
        "Am 3. Mai habe ich ihn gesehen.",
        "Le 3 mai, je l'ai vu.",
    ),
    (
        clause(I, "work", PAST, time=Date(1, calendar("August"))),
        "I worked on the 1st of August.",
        "Ich habe am 1. August gearbeitet.",
        "J'ai travaillé le 1er août.",
    ),
    (
        clause(I, "work", MUST, time=Weekday(calendar("Saturday"))),
        "I have to work on Saturday.",
        "Ich muss am Samstag arbeiten.",
        "Je dois travailler samedi.",
    ),
    (
        clause(WE, "leave", FUTURE, time=Hour(1)),
        "We will leave at one o'clock.",
        "Wir werden um ein Uhr abreisen.",
        "Nous allons partir à une heure.",
    ),
    # adverbs
    (
        clause(WOMAN, "sing", PAST, frequency=adverb("often"), where=at("garden")),
        "The woman often sang in the garden.",
        "Die Frau hat oft im Garten gesungen.",
        "La femme a souvent chanté dans le jardin.",
    ),
    (
        clause(WOMAN, "dance", LIKE),
        "The woman likes to dance.",
        "Die Frau tanzt gern.",
        "La femme aime danser.",
    ),
    (
        clause(WOMAN, "eat", LIKE, several(A, "cherry")),
        "The woman likes to eat cherries.",
        "Die Frau isst gern Kirschen.",
        "La femme aime manger des cerises.",
    ),
    (
        clause(CHILD, "run", manner=adverb("quickly"), where=at("beach")),
        "The child is running quickly on the beach.",
        "Das Kind läuft schnell am Strand.",
        "L'enfant court rapidement sur la plage.",
    ),
    # progressive or not
    (
        clause(HE, "cook", time=adverb("every day")),
        "He cooks every day.",
        "Er kocht jeden Tag.",
        "Il cuisine chaque jour.",
    ),
    (
        clause(HE, "cook", time=adverb("now")),
        "He is cooking now.",
        "Er kocht jetzt.",
        "Il cuisine maintenant.",
    ),
    # numbers
    (
        clause(SHE, "buy", PAST, several(A, "pear", count=21)),
        "She bought twenty-one pears.",
        "Sie hat einundzwanzig Birnen gekauft.",
        "Elle a acheté vingt et une poires.",
    ),
    (
        clause(phrase(THE, "watch"), "cost", patient=several(A, "euro", count=91)),
        "The watch costs ninety-one euros.",
        "Die Uhr kostet einundneunzig Euro.",
        "La montre coûte quatre-vingt-onze euros.",
    ),
    (
        Clause(MAN, None, Mood.PRESENT, age=80),
        "The man is eighty years old.",
        "Der Mann ist achtzig Jahre alt.",
        "L'homme a quatre-vingts ans.",
    ),
    (
        clause(several(THE, "old woman", count=3), "laugh"),
        "The three old women are laughing.",
        "Die drei alten Frauen lachen.",
        "Les trois vieilles femmes rient.",
    ),
    # subordinate clauses
    (
        Sentence(clause(I, "believe"), link=Link.THAT, other=clause(SHE, "buy", PAST, phrase(A, "hat"))),
        "I believe that she bought a hat.",
        "Ich glaube, dass sie einen Hut gekauft hat.",
        "Je crois qu'elle a acheté un chapeau.",
    ),
    (
        Sentence(
            clause(HE, "laugh", PAST), link=Link.WHEN, other=clause(SHE, "fall", PAST), other_first=True
        ),
        "When she fell, he laughed.",
        "Als sie hingefallen ist, hat er gelacht.",
        "Quand elle est tombée, il a ri.",
    ),
    (
        Sentence(
            clause(HE, "smile", habit=True),
            link=Link.WHEN,
            other=clause(SHE, "come back", habit=True),
            other_first=True,
        ),
        "When she comes back, he smiles.",
        "Wenn sie zurückkommt, lächelt er.",
        "Quand elle revient, il sourit.",
    ),
    (
        Sentence(clause(I, "work"), link=Link.WHILE, other=clause(THEY, "sleep")),
        "I am working while they are sleeping.",
        "Ich arbeite, während sie schlafen.",
        "Je travaille pendant qu'ils dorment.",
    ),
    (
        Sentence(
            clause(I, "stay", PAST, where=at("hotel")), link=Link.BECAUSE, other=clause(IT, "rain", PAST)
        ),
        "I stayed at the hotel because it rained.",
        "Ich bin im Hotel geblieben, weil es geregnet hat.",
        "Je suis resté à l'hôtel parce qu'il a plu.",
    ),
    (
        Sentence(clause(I, "work"), link=Link.BUT, other=clause(YOU, "sleep")),
        "I am working, but you are sleeping.",
        "Ich arbeite, aber du schläfst.",
        "Je travaille, mais tu dors.",
    ),
    # relative clauses
    (
        being(
            phrase(
                THE, "man", relative=Relative(clause(MAN, "sell", patient=several(A, "book")), Gap.SUBJECT)
            ),
            "old",
        ),
        "The man who is selling books is old.",
        "Der Mann, der Bücher verkauft, ist alt.",
        "L'homme qui vend des livres est vieux.",
    ),
    (
        being(
            several(THE, "pear", relative=Relative(clause(WOMAN, "buy", PAST), Gap.OBJECT)),
            "ripe",
            PAST,
        ),
        "The pears that the woman bought were ripe.",
        "Die Birnen, die die Frau gekauft hat, waren reif.",
        "Les poires que la femme a achetées étaient mûres.",
    ),
    (
        clause(
            I,
            "look for",
            patient=phrase(THE, "coat", relative=Relative(clause(HE, "forget", PAST), Gap.OBJECT)),
        ),
        "I am looking for the coat that he forgot.",
        "Ich suche den Mantel, den er vergessen hat.",
        "Je cherche le manteau qu'il a oublié.",
    ),
    # questions
    (
        Sentence(clause(WOMAN, "buy", PAST, phrase(THE, "table")), question=Question.WHETHER),
        "Did the woman buy the table?",
        "Hat die Frau den Tisch gekauft?",
        "Est-ce que la femme a acheté la table ?",
    ),
    (
        Sentence(clause(MAN, "invite", patient=YOU), question=Question.WHETHER),
        "Is the man inviting you?",
        "Lädt dich der Mann ein?",
        "Est-ce que l'homme t'invite ?",
    ),
    (
        Sentence(clause(WOMAN, "buy"), question=Question.WHAT),
        "What is the woman buying?",
        "Was kauft die Frau?",
        "Qu'est-ce que la femme achète ?",
    ),
    (
        Sentence(clause(HE, "drink", PAST, phrase(THE, "milk")), question=Question.WHO),
        "Who drank the milk?",
        "Wer hat die Milch getrunken?",
        "Qui a bu le lait ?",
    ),
    (
        Sentence(clause(THEY, "live"), question=Question.WHERE),
        "Where do they live?",
        "Wo wohnen sie?",
        "Où est-ce qu'ils habitent ?",
    ),
    (
        Sentence(clause(SHE, "leave", PAST), question=Question.WHEN),
        "When did she leave?",
        "Wann ist sie abgereist?",
        "Quand est-ce qu'elle est partie ?",
    ),
    (
        Sentence(clause(CHILD, "cry"), question=Question.WHY),
        "Why is the child crying?",
        "Warum weint das Kind?",
        "Pourquoi est-ce que l'enfant pleure ?",
    ),
    (
        Sentence(
            clause(SHE, "give", PAST, several(Determiner.HOW_MANY, "orange"), recipient=MAN),
            question=Question.HOW_MANY,
        ),
        "How many oranges did she give the man?",
        "Wie viele Orangen hat sie dem Mann gegeben?",
        "Combien d'oranges est-ce qu'elle a données à l'homme ?",
    ),
    # there is
    (
        Existence(phrase(A, "old bridge"), at("village"), Mood.PRESENT),
        "There is an old bridge in the village.",
        "Es gibt eine alte Brücke im Dorf.",
        "Il y a un vieux pont dans le village.",
    ),
    (
        Existence(several(A, "chair"), at("kitchen"), PAST, NOT),
        "There were no chairs in the kitchen.",
        "Es gab keine Stühle in der Küche.",
        "Il n'y avait pas de chaises dans la cuisine.",
    ),
    (
        Sentence(
            Existence(several(A, "dog", count=2), at("market"), Mood.PRESENT), question=Question.WHETHER
        ),
        "Are there two dogs at the market?",
        "Gibt es zwei Hunde auf dem Markt?",
        "Est-ce qu'il y a deux chiens au marché ?",
    ),
]


@pytest.mark.parametrize(
    ("meaning", "english", "german", "french"), EXPECTED, ids=[row[1] for row in EXPECTED]
)
def test_each_language_says_it_as_a_speaker_would(
    meaning: Clause | Existence | Sentence, english: str, german: str, french: str
) -> None:
    sentence = meaning if isinstance(meaning, Sentence) else Sentence(meaning)
    assert (en.realise(sentence), de.realise(sentence), fr.realise(sentence)) == (english, german, french)
