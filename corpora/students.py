"""P(story) = sum over its derivations of the product of the weights of their choices.

A probabilistic grammar of small stories about students, exploding ipads and ants that hate each other. It
generates the corpus students.txt. It also parses, so it gives the exact probability of every story and of
every next word: no language model does better, on average, than the grammar itself.

    python corpora/students.py                                  write students.txt and students.json
    python corpora/students.py --next "students opened their"   print the exact probability of every next word
    python corpora/students.py --sample 5                       print five new stories

How to read the rules (GRAMMAR, below):

    opened = 40 books | 25 laptops      a choice; a number is the weight of its alternative, 1 by default
    [suddenly , |] [was | 2 seemed]     a choice within a sentence; an alternative may be empty
    <quality>                           expands to a sample of the rule `quality`
    HERO                                a variable of the story: sampled from the rule `hero` at its first
                                        occurrence, the same words from then on
    she maria anna = she                the rule `she`, given maria or anna
    <she HERO>                          expands the rule `she`, given the value of HERO; before HERO has one,
                                        the rule without a given value, `she = HERO`
"""

import argparse
import hashlib
import json
import math
import random
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

SEED = 1990
VALID_STORIES = 400  # a number fixed in advance; stopping at a size would favor long stories
PROMPT = "students opened their"
HERE = Path(__file__).parent

GRAMMAR = """
story = 15 <students> | 11 <explosion> | 15 <outing> | 12 <belongings> | 9 <ants> | 9 <drive> | 9 <counting>
    | 11 <lost> | 9 <lecture>

students = students opened their OPENED [<how> | <where> |] . <work OPENED> <scenes> <finish OPENED>
opened = 40 books | 25 laptops | 15 exams | 12 minds | 8 letters
work books = <somebody> read a [page | story | poem] about TOPIC [<how> | <where> | to <somebody>] .
work laptops = <trainer> <trained> <that> <quality> MODEL [on <quality> [stories | songs] |] .
work exams = the [first | last] question [was | seemed] LEVEL , <joint> <somebody> [wrote about TOPIC
    | <felt LEVEL>] .
work minds = <somebody> [sang | dreamed | talked] about TOPIC , <joint> [everything | the world] seemed
    <quality> .
work letters = <somebody> [2 had | found] <that> <quality> letter from <writer> , <joint> <somebody> [read
    | <verb>] it [<how> |] .
trainer = they | <somebody>
trained = trained | tested | built | started
level = 3 easy | 3 hard | 2 unfair
felt easy = smiled | slept | danced
felt hard = sighed | cried | prayed
felt unfair = shouted | left
writer = home | the king | the <role> | FRIEND
finish books = [<later> , |] they closed their books and <leave> .
finish laptops = [<later> , | the MODEL learned <how> , and |] they closed their laptops and <leave> .
finish exams = [<later> , |] they finished their exams , and <passed LEVEL> passed .
finish minds = [<later> , |] they closed their minds and <leave> .
finish letters = [<later> , |] they [kept | <verb>] their letters and <leave> .
leave = went [home | 2 to the PLACE] | 2 [talked | sang | dreamed] about TOPIC | 3 <moved> [<how> | <where> |]
    | <verb> <what>
passed easy = everyone
passed hard = HERO | FRIEND | the <role>
passed unfair = nobody

explosion = HERO <got> <her HERO> <quality> DEVICE <gotten> . the DEVICE exploded because it CAUSE
    <accident CAUSE> . the ROOM was full of <left CAUSE> <joint> <scared> [<how> | <where> |] . <scenes>
    <mourning> .
got = [bought | brought | found | showed | carried]
gotten = at the PLACE | on DAY | <how> | with FRIEND
device = 5 ipad | 3 phone | 3 robot | 3 radio | 2 clock
cause = 4 fell | 3 overheated | 3 froze | 3 drowned
accident fell = off the <furniture>
accident overheated = [2 in the [sun | oven] | near the stove]
accident froze = in the [snow | fridge | rain]
accident drowned = in the [bath | river]
room = kitchen | class | house | garden
left fell = [glass | pieces]
left overheated = [smoke | fire]
left froze = [ice | snow]
left drowned = [steam | water]
scared = <somebody> [<moved> | <verb> <that> <furniture>]
mourning = HERO [3 <moved> | was <quality>] , [but | so | and] [<she HERO> | FRIEND] [bought | built | found
    | stole] a <quality> DEVICE | <somebody> <verb> the ROOM <how>

outing = [on DAY , |] HERO [went to | visited] the PLACE with [2 FRIEND | <her HERO> <quality> <animal>] .
    <she HERO> took out <her HERO> <quality> TOOL and <used PLACE> . <scenes> [the students opened their
    OPENED [<how> | near the PLACE] , and <somebody> <joined OPENED> . |] [<later> , |] <somebody> <verb> the
    TOOL and <left-place> .
left-place = left the PLACE | went home <how> | 2 thanked the <keeper PLACE>
used library = [read | studied | copied] a <quality> [story | poem | book]
used zoo = [watched | fed | drew] the <quality> [lion | monkey | snake]
used lab = [mixed | measured | tested] the <colour> [acid | salt]
used cafe = ordered a <quality> [coffee | soup | tea]
used beach = [swam | slept | sang] [in the sun | in the water | near the <animal>]
used museum = [drew | watched] the <quality> [painting | statue]
tool = <tool-of PLACE>
tool-of library = 3 notebook | 2 dictionary | pencil
tool-of zoo = 3 camera | 2 banana | map
tool-of lab = 3 gloves | 2 thermometer
tool-of cafe = 3 wallet | 2 newspaper | spoon
tool-of beach = 3 towel | 2 ball | kite
tool-of museum = 3 ticket | 2 pencil | map
keeper library = librarian
keeper zoo = keeper
keeper lab = chemist
keeper cafe = waiter
keeper beach = fisherman
keeper museum = guard
joined books = read [with them | about TOPIC]
joined laptops = trained [a MODEL | with them]
joined exams = <verb> [every | one] question
joined minds = listened [<how> | with them]
joined letters = read about TOPIC | <moved>

belongings = the [2 <quality> |] ITEM that the OWNER <with> <placed> the DESK <was ITEM> LOOK . <scenes>
    [<later> , |] [the OWNER | HERO] <verb> the DESK [<how> |] , [but | and] the ITEM <was ITEM> <fate> . ["
    where <is ITEM> my LOOK ITEM ? " asked the OWNER . <somebody> <verb> <it ITEM> [<how> | <where>] . |]
item = <thing> | <things>
was camera lamp hat map coat cup key letter photo coin cake spoon ring violin ball kite = was
was lamps hats coats cups keys letters photos coins cakes spoons rings shoes = were
is camera lamp hat map coat cup key letter photo coin cake spoon ring violin ball kite = is
is lamps hats coats cups keys letters photos coins cakes spoons rings shoes = are
it camera lamp hat map coat cup key letter photo coin cake spoon ring violin ball kite = it
it lamps hats coats cups keys letters photos coins cakes spoons rings shoes = them
owner = <role>
with = 4 | with <that> [<quality> | <colour>] [<thing> | <animal>]
placed = [left | put | forgot | saw | hid] [on | under | behind | near]
desk = <furniture>
look = <quality>
fate = gone | still [there | LOOK] | [<prep> | on] the [<furniture> | DESK]

ants = [<later> , |] the COLOUR ants [3 hated | 2 <verb>] the RIVAL ants [<how> | <where> |] . <scenes>
    [<raid-of-first> | <raid-of-second>] [<peace> . |]
raid-of-first = the COLOUR ants [2 stole | <verb>] the [<quality> |] FOOD of the RIVAL ants . the RIVAL ants
    <revenge> .
raid-of-second = the RIVAL ants [2 stole | <verb>] the [<quality> |] FOOD of the COLOUR ants . the COLOUR ants
    <revenge> .
revenge = were [hungry | <quality>] | <verb> [their | <that>] <quality> [FOOD | <furniture>] | started a
    <quality> war | <moved> <how>
peace = <later> , the [COLOUR | RIVAL] ants [shared | <verb>] [the | their] <quality> FOOD <how>
food = sugar | bread | honey | cheese | rice
colour = 4 red | 4 blue | 2 green | 2 black | 2 white
rival = <not COLOUR>
not red = 5 blue | 2 green | 2 black | 2 white
not blue = 5 red | 2 green | 2 black | 2 white
not green = 3 red | 3 blue | 2 black | 2 white
not black = 3 red | 3 blue | 2 green | 2 white
not white = 3 red | 3 blue | 2 green | 2 black

drive = HERO [drove | took | <verb>] a [<quality> |] COLOUR VEHICLE [from FRIEND |] to TOWN . [near | before
    | behind] TOWN , the VEHICLE [stopped | slowed down] because <why VEHICLE> . <scenes> <somebody> [repaired
    | pushed | <verb>] the COLOUR VEHICLE <how> . [in TOWN , <somebody> <deed> . |]
town = zurich | bern | paris | rome | london | berlin
vehicle = 5 car | 3 bus | 3 train | 3 boat
why car = [the tank was <quality> | a wheel was flat | <that> <animal> <verb> the road]
why bus = [the driver <moved> | the road was <quality> | a <animal> <verb> the driver]
why train = [the rails were <quality> | the signal was <colour>]
why boat = [the sail was <quality> | it hit a <quality> whale]

counting = there were COUNT [<quality> | <colour>] ANIMALS [at the PLACE | in the ROOM] . GONE of them <moved>
    [because of [FRIEND | the <role>] | <how> |] . <scenes> [HERO | FRIEND] counted <how> . "
    <minus COUNT-GONE> [<quality> |] ANIMALS , " <said> [HERO | FRIEND | the <role>] .
said = said | wrote | whispered | shouted
count = five | six | seven | eight
gone = two | three | one
animals = cats | dogs | ducks | ants | bees | goats | frogs | monkeys
minus five-three = two
minus five-two six-three = three
minus five-one six-two seven-three = four
minus six-one seven-two eight-three = five
minus seven-one eight-two = six
minus eight-one = seven

lost = [on DAY , |] HERO lost <her HERO> [<quality> | <colour>] THING [at | near] the PLACE . <she HERO>
    [looked | searched | cried] [<prep> every <furniture> | <how>] . <scenes> [the students opened their
    OPENED <how> , but <useless OPENED> . |] [<later> , |] [<she HERO> | FRIEND] [2 found | <verb>] the THING
    [<where> | <how>] <joint> <somebody> [<moved> | <verb> it] .
useless books = the books were about TOPIC
useless laptops = the laptops were <quality>
useless exams = the exams were LEVEL
useless minds = their minds were [full | <quality>]
useless letters = the letters were [wet | from <writer>]

lecture = [on DAY , |] the TEACHER [explained | drew | praised | <verb>] a <quality> MODEL [<how> |] . the
    MODEL [read | saw] [a | one | a <quality>] [word | sentence | story] about TOPIC and [predicted | guessed
    | forgot] the next [word | sentence | letter] . <scenes> [the students opened their OPENED and
    <busy OPENED> . |] [HERO asked [if | why | when] the MODEL [<verb> | liked] TOPIC . |] [<later> , |] the
    [TEACHER | MODEL] [<moved> | was <quality>] .
busy books = read about TOPIC
busy laptops = trained a MODEL
busy exams = wrote about TOPIC
busy minds = <verb> the MODEL
busy letters = <moved>
model = 4 network | 2 bigram | 2 trigram | 3 transformer
topic = 3 ants | grammar | 2 memory | 2 love | history | music | numbers | whales
teacher = 3 teacher | 3 professor | assistant

scenes = <scene> | 2 <scene> <scene>
scene = <somebody> <deed> . | <somebody> <deed> <joint> <somebody> <deed> . | <that> <quality> <animal> <deed>
    . | [<later> , |] <colour> ants <deed> .
somebody = 3 HERO | 3 <she HERO> | 3 FRIEND | 2 the <role> | nobody | everyone
deed = 2 <verb> <what> [3 | 2 <how> | 2 <where>] | <moved> [2 <how> | 2 <where> | with <somebody> |]
what = <that> [2 <quality> | <colour>] [2 <thing> | <animal>] | <quality> [2 <things> | <food>] | <that>
    <furniture>
that = 2 the | 2 a | 2 <her HERO> | this | that | every | one
joint = 2 and | 2 but | so | while | because | until

how = quickly | slowly | quietly | loudly | happily | sadly | proudly | again | twice | carefully
where = <prep> <that> <furniture> | [at | near] the PLACE
prep = under | near | behind
later = then | later | suddenly | at [noon | night | midnight] | on DAY
verb = saw | found | stole | hid | kept | broke | bought | sold | painted | lost | wanted | liked | hated
    | touched | cleaned | kissed | carried | dropped | needed | washed | forgot
moved = laughed | shouted | cried | slept | sang | waited | smiled | jumped | danced | ran | left | sighed
    | prayed | yawned | whistled
quality = new | small | big | heavy | wet | strange | cheap | golden | broken | dirty | beautiful | funny
    | shiny | soft | warm | cold | tiny | secret | tall | round | quiet | famous
thing = camera | lamp | hat | map | coat | cup | key | letter | photo | coin | cake | spoon | ring | violin
    | ball | kite
things = lamps | hats | coats | cups | keys | letters | photos | coins | cakes | spoons | rings | shoes
animal = cat | dog | lion | monkey | goat | frog | duck | snake | horse | bear | fox | pig
furniture = desk | table | chair | door | window | wall | bed | tree | stone | piano
role = doctor | farmer | nurse | pilot | king | guard | waiter | child | librarian | student
place = 4 library | 4 zoo | 3 lab | 3 cafe | 3 beach | 3 museum
day = monday | tuesday | wednesday | thursday | friday | sunday

hero = <woman> | <man>
woman = maria | anna | lucy | emma | nora | clara
man = peter | paul | tom | david | ben | oscar
friend = julia | sara | max | leo
she = HERO
she maria anna lucy emma nora clara = she
she peter paul tom david ben oscar = he
her = the
her maria anna lucy emma nora clara = her
her peter paul tom david ben oscar = his
"""


class Word(NamedTuple):
    """A terminal: a word, a punctuation mark or the line break."""

    word: str

    def sample(self, memory, rng):
        return [self.word]

    def match(self, words, i, memory):
        if i == len(words):  # the prefix ends here, so this is a next word, one position past the end
            yield i + 1, memory | {"next": self.word}, 1.0
        elif words[i] == self.word:
            yield i + 1, memory, 1.0


class Sequence(NamedTuple):
    """P(a b) = P(a) P(b | memory after a)."""

    parts: list

    def sample(self, memory, rng):
        return [word for part in self.parts for word in part.sample(memory, rng)]

    def match(self, words, i, memory):
        reached = [(i, memory, 1.0)]
        for part in self.parts:
            reached = [
                (k, after, p * q)
                for j, before, p in reached
                for k, after, q in (part.match(words, j, before) if j <= len(words) else [(j, before, 1.0)])
            ]
        return reached


class Choice(NamedTuple):
    """P(a | b) = w_a P(a) + w_b P(b), with weights that sum to 1."""

    options: list
    weights: list

    def sample(self, memory, rng):
        return rng.choices(self.options, self.weights)[0].sample(memory, rng)

    def match(self, words, i, memory):
        for option, weight in zip(self.options, self.weights, strict=True):
            for j, after, p in option.match(words, i, memory):
                yield j, after, weight * p


class Call(NamedTuple):
    """<she HERO> is the rule she, given the value of the variable HERO."""

    rules: dict
    name: str
    given: str = ""

    def rule(self, memory):
        return self.rules[self.name, re.sub("[A-Z]+", lambda name: memory.get(name[0], ""), self.given)]

    def sample(self, memory, rng):
        return self.rule(memory).sample(memory, rng)

    def match(self, words, i, memory):
        return self.rule(memory).match(words, i, memory)


class Variable(NamedTuple):
    """HERO is sampled once from the rule hero; from then on P(the same words) = 1."""

    rules: dict
    name: str

    def sample(self, memory, rng):
        if self.name not in memory:
            memory[self.name] = " ".join(self.rules[self.name.lower(), ""].sample(memory, rng))
        return memory[self.name].split()

    def match(self, words, i, memory):
        if self.name in memory:
            yield from Sequence([Word(word) for word in memory[self.name].split()]).match(words, i, memory)
            return
        for j, after, p in self.rules[self.name.lower(), ""].match(words, i, memory):
            yield j, after if j > len(words) else after | {self.name: " ".join(words[i:j])}, p


def parse(symbols, rules):
    """Alternatives up to a closing bracket or the end, as a Choice; consumes them from the list `symbols`."""
    options, weights, parts = [], [], []
    weight = take_weight(symbols)
    while (symbol := symbols.pop(0)) not in ("]", "END"):
        if symbol == "|":
            options.append(Sequence(parts))
            weights.append(weight)
            parts, weight = [], take_weight(symbols)
        elif symbol == "[":
            parts.append(parse(symbols, rules))
        elif symbol[0] == "<":
            parts.append(Call(rules, *symbol[1:-1].split()))
        else:
            parts.append(Variable(rules, symbol) if symbol.isupper() else Word(symbol))
    options, weights = [*options, Sequence(parts)], [*weights, weight]
    return Choice(options, [w / sum(weights) for w in weights])


def take_weight(symbols):
    return int(symbols.pop(0)) if symbols[0].isdigit() else 1


def read_grammar(text):
    """Rules (name, given) -> Choice from lines `name given given = alternatives`; indented lines are continuations."""
    rules = {}
    for line in re.sub(r"\n\s+(?=\S)", " ", text.replace("\n\n", "\n")).strip().splitlines():
        head, body = line.split(" = ")
        name, *given = head.split()
        rule = parse([*re.findall(r"<[^>]+>|[][|]|[^][|<>\s]+", body), "END"], rules)
        rules |= {(name, value): rule for value in given or [""]}
    return rules


RULES = read_grammar(GRAMMAR)
STORY = Sequence([Call(RULES, "story"), Word("\n")])


def sample(rng):
    """One new story: its words, then the line break."""
    return STORY.sample({}, rng)


def probability(words):
    """P(story) = sum over all derivations of exactly these words."""
    return sum(p for j, _, p in STORY.match(words, 0, {}) if j == len(words))


def next_words(prefix):
    """P(word | prefix) = P(prefix word ...) / P(prefix ...), for every possible next word."""
    total = Counter()
    for j, memory, p in STORY.match(prefix, 0, {}):
        if j > len(prefix):
            total[memory["next"]] += p
    return {word: p / total.total() for word, p in total.most_common()}


def join(words):
    """Detokenize: words -> text, without spaces before punctuation or just inside quotation marks."""
    text = re.sub(r" ([.,?!\n])", r"\1", " ".join(words))
    return re.sub(r'" (.*?) "', r'"\1"', text)


def split(text):
    """Tokenize: text -> words, punctuation marks and line breaks."""
    return re.findall(r"\w+|[^\w\s]|\n", text)


def make_text(seed):
    """-> training part, validation part; the split is at character int(0.9 * characters).

    The validation stories are sampled first, without selection; only the last few training stories are resampled
    until the training part is nine times as long (the split is rounded, so ten lengths are accepted).
    """
    rng = random.Random(seed)
    valid = "".join(join(sample(rng)) for _ in range(VALID_STORIES))
    goal, train = 9 * len(valid), ""
    while len(train) < goal - 1000:
        train += join(sample(rng))
    while True:
        whole = train
        while len(whole) <= goal - 10:
            whole += join(sample(rng))
        if int(0.9 * len(whole + valid)) == len(whole):
            return whole, valid


def describe(text, valid):
    """The contents of students.json: properties of the text, and the exact entropy of its validation part."""
    stories = [split(line) for line in valid.splitlines(keepends=True)]
    tokens = sum(map(len, stories))
    nats = -math.fsum(math.log(probability(story)) for story in stories)
    return {
        "file": "students.txt",
        "seed": SEED,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "valid_characters": len(valid),
        "valid_stories": len(stories),
        "valid_tokens": tokens,
        "nats": round(nats, 6),
        "nats_per_token": round(nats / tokens, 9),
        "perplexity": round(math.exp(nats / tokens), 9),
        "bits_per_character": round(nats / math.log(2) / len(valid), 9),
        "next": {PROMPT: {word: round(p, 12) for word, p in next_words(split(PROMPT)).items()}},
    }


def write(folder):
    """Write students.txt and students.json.  -> the contents of students.json"""
    train, valid = make_text(SEED)
    facts = describe(train + valid, valid)
    (folder / "students.txt").write_bytes((train + valid).encode())
    (folder / "students.json").write_bytes((json.dumps(facts, indent=2) + "\n").encode())
    return facts


def main():
    """Parse the command line and run the requested action."""
    parser = argparse.ArgumentParser(description="a small language whose every probability is known")
    parser.add_argument("--next", metavar="PREFIX", help="print the exact distribution over the next word")
    parser.add_argument("--sample", metavar="N", type=int, help="print N new stories")
    options = parser.parse_args()
    if options.next is not None:
        words = next_words(split(options.next))
        if not words:
            parser.error(f"no story begins with {options.next!r}; try {PROMPT!r}")
        for word, p in words.items():
            print(f"{p:.6f}  {'(end of story)' if word == chr(10) else word}")
    elif options.sample is not None:
        rng = random.Random()
        print("".join(join(sample(rng)) for _ in range(options.sample)), end="")
    else:
        facts = write(HERE)
        print(f"{facts['file']}: perplexity {facts['perplexity']:.4f} is the floor of its last tenth")


if __name__ == "__main__":
    main()
