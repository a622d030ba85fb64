"""P(label | text) = P(label and text) / P(text): labelled texts from the grammar of students.py, with exact posteriors.

    python corpora/labelled.py      write the eight files below and labelled.json

    students-tags.conll     token and tag; a blank line between sentences    the part of speech of every word
    students-topics.tsv     label and text                                   which of nine kinds of story
    students-numbers.tsv    number and text                                  how many animals are left
    students-pairs.tsv      label, text and text                             the same story or another

Each has a held-out file of the same format, *.valid.*, which is sampled first and without selection. A training
example that equals a held-out one is sampled again, so no held-out example stands in the training file.
"""

import hashlib
import json
import math
import random
import re
import sys
from collections import Counter, defaultdict
from itertools import chain, pairwise
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import students  # noqa: E402
from students import RULES, Call, Choice, Sequence, Variable, Word, join  # noqa: E402

SEED = 1990
VALID = 400
TRAIN = {"tags": 3000, "topics": 3000, "numbers": 2000, "pairs": 3000}
HIDDEN, VISIBLE = 1, 2  # a topic is told from VISIBLE sentences after the first HIDDEN ones
KINDS = [option.parts[0].name for option in RULES["story", ""].options]
WEIGHTS = RULES["story", ""].weights
LAZY = "?"  # the value of a variable that a hidden sentence has sampled, but nobody has looked at
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}

# The tagged sentences are of the same grammar, except that some of its words get a second reading: past tenses are
# adjectives, too (a painted wall), a saw and a secret are things, and so on. Later rules replace earlier ones.
SECOND_READINGS = """
quality = new | small | big | heavy | wet | strange | cheap | golden | broken | dirty | beautiful | funny | shiny
    | soft | warm | cold | tiny | 2 secret | tall | round | quiet | famous | 3 painted | 3 lost | 3 wanted
    | 3 hated | 3 cleaned | 3 washed | 3 needed | 3 found | 3 left | 2 still
thing = camera | lamp | hat | map | coat | cup | key | letter | photo | coin | cake | spoon | ring | violin
    | ball | kite | 4 saw | 4 secret
was saw secret = was
is saw secret = is
it saw secret = it
what = 6 <that> [2 <quality> | <colour>] [2 <thing> | <animal>] | 3 <quality> [2 <things> | <food>] | 3 <that>
    <furniture> | <him HERO> | that | this
him = FRIEND
him maria anna lucy emma nora clara = her
him peter paul tom david ben oscar = him
how = quickly | slowly | quietly | loudly | happily | sadly | proudly | again | twice | carefully | before
joint = 2 and | 2 but | so | while | because | until | before
"""

# A tag and its places: <rule> is every word of a rule, rule/word is one word of a rule, all others are plain words.
TAGS = """
NOUN <opened> <device> <room> <left> <furniture> <tool-of> <keeper> <thing> <things> <food> <animals> <animal>
NOUN <topic> <teacher> <vehicle> <role> <place> <model> writer/home later/noon later/night later/midnight students
NOUN ants king books exams laptops minds letters letter word sentence story stories songs poem page question world
NOUN sun oven stove snow fridge rain bath river lion monkey snake acid salt coffee soup tea water painting statue
NOUN book road driver tank wheel rails signal sail whale war
PROPN <friend> <day> <town> <woman> <man>
VERB <felt> <trained> <got> <cause> <said> <verb> <moved> opened read wrote sang dreamed talked had found learned
VERB seemed closed finished kept passed went exploded bought built stole visited took studied copied watched fed drew
VERB mixed measured tested ordered swam slept thanked trained listened left put forgot saw hid asked hated started
VERB shared drove stopped slowed repaired pushed hit counted lost looked searched cried explained praised predicted
VERB guessed liked counting/were
AUX was were is are
ADJ <level> <quality> <colour> <not> first last next full gone hungry flat wet
ADV <how> then later suddenly still there home where when why
ADP about at in near on under behind before off to from with of out down counting/because
DET <that> <her> the a every one their my
PRON <she> <him> it them they everyone nobody everything what/that what/this belongings/that counting/there
NUM <count> <gone> <minus>
CCONJ and but so
SCONJ while because until if joint/before
"""


class Memory(dict):
    """The variables of a tagged story; rules are looked up by their values without tags."""

    def get(self, name, default):
        return super().get(name, default).split("/")[0]


def tag_grammar(text, tags):
    """Write every word of a grammar as word/TAG; the tag depends on the rule that produces the word."""
    places = {place: tag for tag, *places in map(str.split, tags.strip().splitlines()) for place in places}
    lines = re.sub(r"\n\s+(?=\S)", " ", text.replace("\n\n", "\n")).strip().splitlines()
    return "\n".join(tag_rule(*line.split(" = "), places) for line in lines)


def tag_rule(head, body, places):
    """One rule with tags; names of rules and variables, weights and punctuation marks stay as they are."""
    rule = head.split()[0]

    def tag(found):
        word = found[0]
        tags = [places[place] for place in (f"{rule}/{word}", f"<{rule}>", word) if place in places]
        return word if word[0] == "<" else f"{word}/{tags[0]}"

    return f"{head} = " + re.sub(r"<[^>]+>|[a-z]+", tag, body)


TAGGED_STORY = Call(students.read_grammar(tag_grammar(students.GRAMMAR + SECOND_READINGS, TAGS)), "story")


def sentences(words):
    """Cut a story after every full stop; a question in quotation marks belongs to the sentence of who asks it."""
    cuts = [0, *(i + 1 for i, word in enumerate(words) if word.split("/")[0] == ".")]
    return [words[i:j] for i, j in pairwise(cuts)]


def lookup(call, memory):
    """The rules that a call may expand to: (rule, memory, p); a lazy variable that decides it takes every value."""
    for name in re.findall("[A-Z]+", call.given):
        if (name, LAZY) in memory:
            return [
                (rule, after, p * q)
                for value, before, p in values(RULES[name.lower(), ""], memory)
                for rule, after, q in lookup(call, before - {(name, LAZY)} | {(name, value)})
            ]
    return [(call.rule(dict(memory)), memory, 1.0)]


def values(node, memory):
    """The values of a variable, all of which are single words: (word, memory, p)."""
    match node:
        case Word(word):
            return [(word, memory, 1.0)]
        case Sequence([part]):
            return values(part, memory)
        case Choice(options, weights):
            pairs = zip(options, weights, strict=True)
            return [(word, after, weight * p) for option, weight in pairs for word, after, p in values(option, memory)]
    return [(word, after, p * q) for rule, before, p in lookup(node, memory) for word, after, q in values(rule, before)]


def is_inert(node):
    """Whether it neither sets a variable nor ends a sentence, so that hidden it makes no difference."""
    if isinstance(node, Call):
        return all(is_inert(rule) for (name, _), rule in RULES.items() if name == node.name)
    if isinstance(node, Word):
        return node.word != "."
    return not isinstance(node, Variable) and all(map(is_inert, node[0]))


def reach(node, words, i, memory):
    """Where the words may be after this part of a story: (position, memory, p).

    At a position i < 0 the words are hidden, up to the end of the next -i sentences: every one is possible, and a
    variable becomes lazy. The end of the words is final: whatever comes after it has a total probability of 1.
    """
    if i == len(words):
        return [(i, memory, 1.0)]
    match node:
        case Word(word):
            return [(i + (word == "."), memory, 1.0)] if i < 0 else [(i + 1, memory, 1.0)] * (words[i] == word)
        case Sequence([part]):
            return reach(part, words, i, memory)
        case Sequence(parts):
            return reach_all(parts, words, i, memory)
        case Choice(options, weights):
            pairs = zip(options, weights, strict=True)
            return [(j, after, weight * p) for option, weight in pairs for j, after, p in reach(option, words, i, memory)]
        case Variable(_, name):
            return reach_variable(name, words, i, memory)
    rules = lookup(node, memory)
    if i < 0 and all(is_inert(rule) for rule, _, _ in rules):
        return [(i, memory, 1.0)]
    return [(j, after, p * q) for rule, before, p in rules for j, after, q in reach(rule, words, i, before)]


def reach_all(parts, words, i, memory):
    """One part after another; equal positions with equal memories are added up."""
    reached = {(i, memory): 1.0}
    for part in parts:
        total = defaultdict(float)
        for (j, before), p in reached.items():
            for k, after, q in reach(part, words, j, before):
                total[k, after] += p * q
        reached = total
    return [(j, after, p) for (j, after), p in reached.items()]


def reach_variable(name, words, i, memory):
    """A variable is the same words again; hidden, it becomes lazy; at its first visible occurrence it gets its value."""
    value = dict(memory).get(name, "" if i < 0 else LAZY)
    if i < 0:
        return [(i, memory if value else memory | {(name, LAZY)}, 1.0)]
    if value != LAZY:
        return reach(Word(value), words, i, memory)
    reached = reach(RULES[name.lower(), ""], words, i, memory)
    return [(j, after - {(name, LAZY)} | {(name, words[i])}, p) for j, after, p in reached]


def probability(kind, words, hidden=0):
    """P(words | kind): of these sentences of a story of one kind, after its first `hidden` sentences."""
    reached = reach(Call(RULES, kind), words, -hidden, frozenset())
    return math.fsum(p for j, _, p in reached if j == len(words))


def kind_probabilities(words):
    """P(kind, words) of every kind, for the sentences of a topic."""
    weights = zip(KINDS, WEIGHTS, strict=True)
    return {kind: weight * probability(kind, words, HIDDEN) for kind, weight in weights}


def sample_kind(kind, rng):
    """The sentences of a new story of one kind."""
    return sentences(Call(RULES, kind).sample({}, rng))


def draw_tags(rng):
    """One sentence of a story: its words with their tags."""
    words = rng.choice(sentences(TAGGED_STORY.sample(Memory(), rng)))
    return tuple(word if "/" in word else f"{word}/PUNCT" for word in words)


def draw_topic(rng):
    """The kind of a story, and its sentences from the second to the third."""
    kind = rng.choices(KINDS, WEIGHTS)[0]
    return kind, join(chain(*sample_kind(kind, rng)[HIDDEN : HIDDEN + VISIBLE]))


def draw_number(rng):
    """How many animals are left, and a story that counts them, without its last sentence, which tells the number."""
    *told, last = sample_kind("counting", rng)
    return str(NUMBERS[last[1]]), join(chain(*told))


def draw_pair(rng):
    """The first sentence of a drive, and the second one of the same drive or of another."""
    first, second, *_ = sample_kind("drive", rng)
    label = rng.choice(["same", "different"])
    if label == "different":
        second = sample_kind("drive", rng)[1]
    return label, join(first), join(second)


def pair_probabilities(first, second):
    """P(label, second | first) of both labels, up to a common factor."""
    different = probability("drive", first) * probability("drive", second, hidden=1)
    return {"same": probability("drive", first + second), "different": different}


DRAW = {"tags": draw_tags, "topics": draw_topic, "numbers": draw_number, "pairs": draw_pair}


def make(name, seed):
    """-> training examples, held-out examples; the held-out ones are sampled first, without selection."""
    rng = random.Random(f"{name} {seed}")
    valid = [DRAW[name](rng) for _ in range(VALID)]
    seen, train = set(valid), []
    while len(train) < TRAIN[name]:
        example = DRAW[name](rng)
        train += [example] * (example not in seen)
    return train, valid


def text_of(name, examples):
    """The contents of a file."""
    if name == "tags":
        return "\n\n".join("\n".join(word.replace("/", "\t") for word in words) for words in examples) + "\n"
    return "".join("\t".join(example) + "\n" for example in examples)


def most_common(labels):
    """The commonest label."""
    return Counter(labels).most_common(1)[0][0]


def score(guesses, labels):
    """The share of guesses that are right."""
    return round(sum(map(str.__eq__, guesses, labels)) / len(labels), 6)


def choose(probabilities):
    """The most probable label."""
    return max(probabilities, key=probabilities.get)


def measure_tags(train, valid):
    """Tags follow from the sentence: best is 1. A word alone has its most frequent tag in the training file."""
    seen, pairs = defaultdict(list), [word.split("/") for words in valid for word in words]
    for word, tag in (word.split("/") for words in train for word in words):
        seen[word].append(tag)
    every, tags = [tag for tags in seen.values() for tag in tags], [tag for _, tag in pairs]
    by_word = {word: most_common(found) for word, found in seen.items()}
    return {
        "measure": "accuracy",
        "labels": sorted(set(every)),
        "best": 1.0,
        "floor": score([most_common(every)] * len(tags), tags),
        "commonest_tag_of_the_word": score([by_word.get(word, most_common(every)) for word, _ in pairs], tags),
        "train_tokens": len(every),
        "valid_tokens": len(tags),
    }


def measure_labels(train, valid, posterior):
    """Best is the accuracy of the label with the largest exact posterior; floor, of the commonest label."""
    labels = [label for label, *_ in valid]
    exact = [posterior(*map(students.split, texts)) for _, *texts in valid]
    return {
        "measure": "accuracy",
        "labels": sorted({label for label, *_ in train}),
        "best": score(map(choose, exact), labels),
        "expected": round(math.fsum(max(p.values()) / math.fsum(p.values()) for p in exact) / len(exact), 6),
        "floor": score([most_common([label for label, *_ in train])] * len(labels), labels),
    }


def measure_numbers(train, valid):
    """The text determines the number: best is a squared error of 0; floor is that of the mean of the training file."""
    mean = sum(int(number) for number, _ in train) / len(train)
    floor = math.fsum((int(number) - mean) ** 2 for number, _ in valid) / len(valid)
    return {"measure": "mse", "labels": sorted({int(number) for number, _ in train}), "best": 0.0, "floor": round(floor, 6)}


def measure(name, train, valid):
    """The figures of one set of examples for labelled.json."""
    match name:
        case "tags":
            return measure_tags(train, valid)
        case "numbers":
            return measure_numbers(train, valid)
        case "topics":
            return measure_labels(train, valid, kind_probabilities)
    return measure_labels(train, valid, pair_probabilities)


def write(folder):
    """Write the eight files and labelled.json.  -> the contents of labelled.json"""
    facts = {"seed": SEED}
    for name in DRAW:
        examples = dict(zip(("train", "valid"), make(name, SEED), strict=True))
        suffix = "conll" if name == "tags" else "tsv"
        files = {"train": f"students-{name}.{suffix}", "valid": f"students-{name}.valid.{suffix}"}
        facts[f"students-{name}"] = entry = {}
        for part, file in files.items():
            text = text_of(name, examples[part]).encode()
            (folder / file).write_bytes(text)
            entry[part] = {"file": file, "sha256": hashlib.sha256(text).hexdigest(), "examples": len(examples[part])}
        entry |= measure(name, **examples)
    (folder / "labelled.json").write_bytes((json.dumps(facts, indent=2) + "\n").encode())
    return facts


def main():
    """Write the files and print what a perfect model reaches."""
    for title, entry in write(HERE).items():
        if title != "seed":
            print(f"{title}: {entry['measure']} {entry['best']} at best, {entry['floor']} for always the same answer")


if __name__ == "__main__":
    main()
