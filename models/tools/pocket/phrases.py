"""What people say. `(a|b)` is a choice, `[x]` may be left out, `{d}` and the like are filled in by `commands`.

A line that begins with `!` uses a verb that training never shows; one with `~` is a pattern that training never shows, made
of words that it does show. Both are kept for evaluation. `{w}` is any word: beside it the small words have to tell what is wanted
("flomp the lamp off"), as they must where a speaker's verb was never met.
"""

from __future__ import annotations

import re
from functools import cache
from random import Random

HELD_VERBS = frozenset(
    "illuminate ignite flick douse extinguish snuff quell unfurl hoist part furl yank latch unlatch bolt unbolt fade crank "
    "shove inspect verify jot chuck scratch strike recite enumerate engage quit seal chill".split()
)

# fmt: off
# Imperatives that begin with a verb: frames may go around them ("would you mind turning on …").
VERB = {
    "turn_on": [
        "(turn|switch|put) on {d}", "(turn|switch|put) on {d}", "(turn|switch|put) {d} on", "(turn|switch) {d} (back|right|just) on", "activate {d}", "start {d} [up]",
        "start up {d}", "power on {d}", "power up {d}", "power {d} (on|up)", "enable {d}", "get {d} (on|going|running|started)", "fire up {d}", "set {d} to on", "run {d}",
        "bring {d} on", "trigger {d}", "launch {d}", "kick off {d}", "begin {d}", "boot [up] {d}", "flip {d} on", "flip on {d}", "toggle {d} on", "leave {d} on", "keep {d} on",
        "have {d} (on|running|turned on|switched on)", "let {d} run", "give {d} power", "hit {d}", "use {d}", "turn {d} to on", "switch {d} to on", "put {d} into operation", "wake [up] {d}",
        "{w} {d} on", "{w} on {d}", "~put {d} to on", "~get {d} turned on", "~bring {d} up and running", "~start {d} for us", "~let {d} go on",
        "!ignite {d}", "!engage {d}", "!flick {d} on", "!flick on {d}",
    ],
    "turn_off": [
        "(turn|switch|shut|put) off {d}", "(turn|switch|shut) off {d}", "(turn|switch|shut|put) {d} off", "(turn|switch) {d} (back|right|just) off", "deactivate {d}", "stop {d}", "power off {d}",
        "power {d} (off|down)", "power down {d}", "disable {d}", "get {d} off", "kill {d}", "set {d} to off", "end {d}", "shut down {d}", "shut {d} down", "cut {d}", "cut [the] power to {d}", "halt {d}",
        "turn out {d}", "flip {d} off", "flip off {d}", "toggle {d} off", "leave {d} off", "keep {d} off", "have {d} (off|turned off|switched off)", "turn {d} to off", "switch {d} to off", "unplug {d}",
        "take {d} off", "put {d} out", "put out {d}", "pull the plug on {d}", "finish {d}",
        "{w} {d} off", "{w} off {d}", "{w} out {d}", "~put {d} to off", "~get {d} turned off", "~bring {d} to a stop", "~let {d} go off", "~stop {d} from running",
        "!douse {d}", "!extinguish {d}", "!snuff out {d}", "!quit {d}", "!flick {d} off",
    ],
    "open": [
        "open {d}", "open {d}", "open {d}", "open up {d}", "open {d} up", "open {d} (all the way|completely|fully|wide)", "fully open {d}", "raise {d}", "lift {d} [up]", "get {d} open", "pull {d} up", "pull up {d}",
        "pull open {d}", "pull {d} open", "move {d} up", "roll {d} up", "roll up {d}", "roll {d} open", "put {d} up", "leave {d} open", "keep {d} open", "draw {d} open", "slide {d} open", "slide open {d}", "swing {d} open",
        "set {d} to open", "have {d} open", "let {d} up", "wind up {d}", "retract {d}", "unroll {d}", "drive {d} up", "bring {d} up", "push {d} open",
        "{w} {d} open", "{w} open {d}", "{w} {d} up", "~have {d} opened up", "~get {d} (up|opened)", "~move {d} to open", "~slide {d} up",
        "!unfurl {d}", "!hoist {d}", "!part {d}", "!crank {d} open",
    ],
    "close": [
        "close {d}", "close {d}", "close {d}", "close up {d}", "close {d} up", "close {d} (all the way|completely|fully)", "fully close {d}", "shut {d}", "shut {d} (all the way|completely|tight)", "lower {d}", "get {d} (closed|shut)",
        "pull {d} (down|closed|shut)", "pull down {d}", "move {d} down", "roll {d} down", "roll down {d}", "put {d} down", "let {d} down", "let down {d}", "leave {d} (closed|shut)", "keep {d} (closed|shut)",
        "draw {d}", "draw {d} (closed|shut)", "slide {d} (shut|closed)", "set {d} to closed", "have {d} (closed|shut)", "bring {d} down", "drive {d} down", "drop {d}", "wind down {d}", "push {d} (closed|shut)", "swing {d} shut",
        "{w} {d} (shut|closed)", "{w} {d} down", "~have {d} closed up", "~get {d} down", "~move {d} to closed", "~slide {d} down",
        "!seal {d}", "!furl {d}", "!yank {d} down",
    ],
    "lock": [
        "lock {d}", "lock {d}", "lock {d}", "lock up {d}", "lock {d} up", "secure {d}", "get {d} locked", "put the lock on {d}", "leave {d} locked", "keep {d} locked", "set {d} to locked", "have {d} locked",
        "double lock {d}", "make {d} secure", "turn the key in {d}", "bar {d}", "{w} {d} locked", "~have {d} secured", "~get {d} secured", "~put {d} in lock", "!bolt {d}", "!latch {d}",
    ],
    "unlock": [
        "unlock {d}", "unlock {d}", "unlock {d}", "unlock {d} up", "release {d}", "get {d} unlocked", "take the lock off {d}", "leave {d} unlocked", "keep {d} unlocked", "set {d} to unlocked", "have {d} unlocked",
        "let (me|us|them|him|her) in through {d}", "undo {d}", "undo the lock on {d}", "free {d}", "unsecure {d}", "~have {d} released", "~get {d} released", "~let (me|us) through {d}", "!unbolt {d}", "!unlatch {d}",
    ],
    "set_level": [
        "set {d} to {p}", "set {d} to {p}", "set {d} [{q}] to {p}", "set the {q} of {d} to {p}", "set the {q} (on|for|at) {d} to {p}", "set {d} at {p} [{q}]", "set {d} {p}", "set the {q} to {p} (on|for|at) {d}", "set {p} {q} (on|for) {d}", "set {p} on {d}",
        "change {d} to {p}", "change the {q} of {d} to {p}", "change {d} {q} to {p}", "(raise|lower|increase|decrease|reduce|boost|drop|cut) {d} [{q}] to {p}", "(increase|decrease|raise|lower|reduce|boost|drop) the {q} of {d} to {p}",
        "turn {d} [{q}] (up|down) to {p}", "turn (up|down) {d} to {p}", "turn {d} to {p}", "turn the {q} of {d} (up|down|) to {p}", "put {d} (at|to|on) {p}", "put the {q} of {d} (at|to) {p}", "adjust {d} [{q}] to {p}", "adjust the {q} of {d} to {p}",
        "make {d} {p}", "make the {q} of {d} {p}", "move {d} to {p}", "bring {d} [{q}] (up|down|) to {p}", "take {d} (up|down|) to {p}", "get {d} to {p}", "run {d} at {p}", "keep {d} at {p}", "leave {d} at {p}", "have {d} at {p}", "switch {d} to {p}",
        "turn on {d} (at|to) {p}", "turn {d} on (at|to) {p}", "dial {d} (up|down|) to {p}", "bump {d} (up|down|) to {p}", "limit {d} to {p}", "regulate {d} to {p}", "tune {d} to {p}", "give {d} {p} [{q}]", "let {d} run at {p}",
        "{w} {d} [{q}] (up|down|) to {p}", "{w} {d} (at|to) {p}", "{w} the {q} of {d} to {p}", "~change {d} to {p} {q}", "~have the {q} of {d} at {p}", "~move the {q} of {d} to {p}", "~get the {q} of {d} to {p}", "~bring the {q} of {d} to {p}",
        "!crank {d} (up|down) to {p}", "!fade {d} to {p}", "!shove {d} to {p}",
    ],
    "set_temperature": [
        "set {d} to {t}", "set {d} to {t}", "set {d} at {t}", "set the (temperature|temp) (of|on|in|for) {d} to {t}", "set {d} (temperature|temp) to {t}", "set {t} on {d}", "change {d} to {t}", "change the temperature (of|on|for) {d} to {t}",
        "heat {d} [up] to {t}", "cool {d} [down] to {t}", "warm {d} [up] to {t}", "put {d} (at|to|on) {t}", "make {d} {t}", "make it {t} on {d}", "turn {d} (up|down|) to {t}", "turn (up|down) {d} to {t}", "(raise|lower|increase|decrease|drop|reduce) {d} to {t}",
        "(raise|lower|increase|decrease|reduce) the temperature (of|on|for) {d} to {t}", "adjust {d} to {t}", "adjust the temperature (of|on|for) {d} to {t}", "keep {d} at {t}", "run {d} at {t}", "bring {d} (up|down|) to {t}", "get {d} to {t}",
        "have {d} at {t}", "bump {d} (up|down|) to {t}", "dial {d} to {t}", "hold {d} at {t}", "leave {d} (at|on) {t}", "regulate {d} to {t}", "{w} {d} (up|down|) to {t}", "~set a temperature of {t} on {d}", "~bring the temperature of {d} to {t}", "~turn the temperature of {d} to {t}",
        "!chill {d} to {t}", "!crank {d} to {t}",
    ],
    "list_add": [
        "add {i} to {l}", "add {i} to {l}", "put {i} (on|onto|in|into|to) {l}", "append {i} to {l}", "write {i} (on|onto|in|down on) {l}", "write down {i} on {l}", "add {i} (on|onto|in) {l}", "include {i} (in|on) {l}", "get {i} on {l}", "save {i} to {l}",
        "note [down] {i} on {l}", "stick {i} on {l}", "place {i} on {l}", "enter {i} (in|on|into) {l}", "have {i} on {l}", "insert {i} (in|into) {l}", "add to {l} {i}", "put down {i} (on|for) {l}", "remember {i} for {l}", "record {i} on {l}", "list {i} on {l}",
        "{w} {i} (on|onto|into|to) {l}", "{w} {i} down on {l}", "{w} down {i} on {l}", "~get {i} added to {l}", "~put {i} down on {l}", "~save {i} on {l}", "!jot {i} down on {l}", "!chuck {i} on {l}",
    ],
    "list_remove": [
        "remove {i} from {l}", "remove {i} from {l}", "take {i} off [of] {l}", "take {i} from {l}", "take off {i} from {l}", "delete {i} from {l}", "drop {i} from {l}", "get rid of {i} on {l}", "erase {i} from {l}", "clear {i} from {l}", "get {i} off {l}",
        "pull {i} off {l}", "cancel {i} on {l}", "throw {i} off {l}", "kick {i} off {l}", "wipe {i} from {l}", "{w} {i} (off|from) {l}", "{w} {i} out of {l}", "~have {i} removed from {l}", "~get {i} out of {l}", "!scratch {i} from {l}", "!strike {i} from {l}",
    ],
    "list_complete": [
        "complete {i} on {l}", "tick off {i} (on|from) {l}", "tick {i} off (on|from|of|) {l}", "check off {i} (on|from) {l}", "check {i} off (on|from|) {l}", "mark {i} [as] (done|complete|completed|finished|bought|ticked) on {l}", "cross off {i} (on|from) {l}",
        "cross {i} off {l}", "finish {i} on {l}", "set {i} to done on {l}", "tick {i} on {l}", "close {i} on {l}", "{w} {i} [as] done on {l}", "~mark {i} off on {l}", "~have {i} ticked off on {l}",
    ],
    "list_read": [
        "read {l}", "read [out] {l} [to me]", "read me {l}", "read {l} out [loud]", "show [me] {l}", "tell me what is on {l}", "tell me what's on {l}", "check {l}", "go through {l} with me", "give me {l}", "list everything on {l}", "list {l}", "tell me what {l} says", "open {l} for me",
        "read back {l}", "say what is on {l}", "get {l}", "print {l}", "{w} me {l}", "{w} what is on {l}", "{w} everything on {l}", "~read everything on {l}", "~show me what is on {l}", "~tell me everything on {l}", "!recite {l}", "!enumerate {l}",
    ],
}  # fmt: skip

# Sentences with no imperative in front: nothing but a little politeness goes around them.
BARE = {
    "turn_on": [
        "{d} on", "{d} on", "on with {d}", "time for {d}", "{d} (should|must|has to|needs to) go on", "{d} (should|must) come on", "i need {d}", "i could use {d}", "it is time (to (turn|switch) on {d}|for {d})", "we need {d} now", "why is {d} not on", "why is {d} still off",
        "{d} is off but should be on", "i want to use {d}", "how about some {d}", "~why isn't {d} on", "~{d} to on",
    ],
    "turn_off": [
        "{d} off", "{d} off", "off with {d}", "no more {d}", "{d} out", "{d} (can|should|must|has to) go off", "i do not need {d} any more", "i don't need {d} [any more|anymore]", "we (are|re) done with {d}", "i am done with {d}", "i'm done with {d}", "enough {d}", "why is {d} still on",
        "{d} is still on", "somebody left {d} on", "i left {d} on", "that's enough of {d}", "nobody needs {d} [now]", "it is time to (turn|switch) off {d}", "there is no need for {d}", "~why is {d} on", "~{d} to off",
    ],
    "open": ["{d} open", "{d} up", "up with {d}", "{d} (should|can|must) go up", "why is {d} still closed", "it is time to open {d}", "~{d} to open", "~time to open {d} up"],
    "close": ["{d} closed", "{d} down", "{d} shut", "down with {d}", "{d} (should|can|must) come down", "why is {d} still open", "somebody left {d} open", "i left {d} open", "it is time to close {d}", "~{d} to closed", "~{d} is still open"],
    "lock": ["{d} locked", "why is {d} not locked", "somebody left {d} unlocked", "i left {d} unlocked", "{d} is still unlocked", "~why is {d} still unlocked"],
    "unlock": ["{d} unlocked", "i need to get in through {d}", "i am at {d} and need to get in", "why is {d} still locked", "~{d} is still locked"],
    "set_level": [
        "{d} {p}", "{d} (at|to|on) {p}", "{d} [{q}] {p}", "{d} {q} (at|to) {p}", "{q} of {d} (to|at) {p}", "{d} (to|at) {p} {q}", "{p} on {d}", "{p} for {d}", "{p} {q} for {d}", "on {d} set the {q} to {p}", "for {d} i want {p}", "{d} (should|must) be at {p}", "{d} down to {p}", "{d} up to {p}",
        "~{d} set to {p}", "~{p} {q} on {d}", "~for {d} set {p}",
    ],
    "set_temperature": ["{d} {t}", "{d} (to|at|on) {t}", "{t} on {d}", "{t} for {d}", "{d} temperature {t}", "temperature of {d} to {t}", "{d} (should|must) be at {t}", "{d} up to {t}", "for {d} i want {t}", "~i want {t} on {d}", "~{d} set to {t}"],
    "list_add": [
        "{i} on {l}", "{i} to {l}", "{i} goes on {l}", "on {l} add {i}", "{l} add {i}", "{l} needs {i}", "i need {i} on {l}", "i want {i} on {l}", "we need {i} on {l}", "{i} should be on {l}", "{i} belongs on {l}", "{l} should have {i}", "there should be {i} on {l}",
        "~{i} has to go on {l}", "~on {l} i need {i}",
    ],
    "list_remove": ["{i} off {l}", "i do not need {i} on {l} any more", "we don't need {i} on {l} [any more|anymore]", "{i} should not be on {l}", "from {l} remove {i}", "{i} can go from {l}", "no {i} on {l}", "~{i} can come off {l}", "~from {l} take {i}"],
    "list_complete": ["{i} on {l} is done", "i (have done|did|finished|bought|got|completed|already have) {i} on {l}", "we (have bought|bought|got) {i} (from|on) {l}", "{i} from {l} is (done|bought|complete|finished)", "i am done with {i} on {l}", "{i} is done on {l}", "~{i} on {l} is finished"],
    "list_read": ["what is on {l}", "what's on {l}", "what (is|do i have|do we have) on {l}", "which items are on {l}", "what do i need from {l}", "what does {l} say", "what are the items on {l}", "is (anything|something) on {l}", "is there anything on {l}", "how many things are on {l}", "what's left on {l}", "what else is on {l}", "~what things are on {l}", "~what is left on {l}"],
}  # fmt: skip
# With no list named: the item alone.
NO_LIST = {
    "list_add": ["we need {i}", "we are out of {i}", "we're out of {i}", "remember to buy {i}", "buy {i}", "don't let me forget {i}", "we are running low on {i}", "we ran out of {i}", "put {i} on the list", "add {i} to the list", "add {i}", "write down {i}", "i need to buy {i}", "get more {i}", "{i} on the list", "remind me to buy {i}", "add {i} to my list", "put {i} on my list"],
    "list_remove": ["remove {i} from the list", "take {i} off the list", "we don't need {i} any more", "delete {i} from the list", "take {i} off my list"],
    "list_complete": ["i bought {i}", "i got {i}", "check off {i}", "tick off {i}", "mark {i} as done", "{i} is done", "cross {i} off the list", "tick {i} off the list", "i have bought {i}", "check {i} off my list"],
    "list_read": ["what is on the list", "read the list", "what's on my list", "what do we need to buy", "what do i have to buy", "read me my list", "show me the list", "what is on my list", "what's on the list", "read out the list"],
}  # fmt: skip
# A wanted state: "{d}" and "{s}" of STATE_WORDS.
WANTED = [
    "make sure [that] {d} (is|are) {s}", "i want {d} {s}", "i want {d} to be {s}", "i'd like {d} {s}", "i'd like {d} to be {s}", "i would like {d} (|to be ){s}", "i need {d} {s}", "i need {d} to be {s}", "{d} should be {s}", "{d} (must|has to|needs to|ought to|is to) be {s}",
    "see to it that {d} is {s}", "let {d} be {s}", "have {d} {s}", "get {d} {s}", "can (we|i) have {d} {s}", "could (we|i) have {d} {s}", "i prefer {d} {s}", "keep {d} {s}", "leave {d} {s}", "i like {d} {s}", "we want {d} {s}", "it would be nice to have {d} {s}", "please have {d} {s}",
    "ensure [that] {d} is {s}", "why isn't {d} {s}", "i wish {d} was {s}", "{d} (isn't|is not) {s} yet", "be sure {d} is {s}", "i want to (have|see) {d} {s}", "it would be great if {d} was {s}",
    "~i would love {d} to be {s}", "~we need {d} {s}", "~can you see to it that {d} is {s}", "~let us have {d} {s}", "~it is time {d} was {s}",
]  # fmt: skip
STATE_WORDS = {
    "turn_on": ("on", "on", "turned on", "switched on", "running", "active", "powered on", "enabled"),
    "turn_off": ("off", "off", "turned off", "switched off", "powered off", "shut off", "disabled"),
    "open": ("open", "opened", "up", "fully open", "raised", "wide open"),
    "close": ("closed", "shut", "down", "fully closed", "lowered", "all the way down"),
    "lock": ("locked", "locked up", "secured"),
    "unlock": ("unlocked",),
    "set_level": ("at {p}", "at {p}", "set to {p}", "at {p} {q}"),
    "set_temperature": ("at {t}", "set to {t}"),
}
# Only for devices or groups of one kind.
BY_KIND = {
    ("turn_on", "light"): ["light up {d}", "light {d}", "(lights|light) on (at|in|for) {d}", "make {d} shine", "let {d} shine", "let there be light from {d}", "have {d} lit", "~get {d} lit", "!illuminate {d}"],
    ("turn_off", "light"): ["put out {d}", "black out {d}", "darken {d}", "make {d} dark", "!snuff {d}"],
    ("turn_on", "media"): ["play something on {d}", "put something on {d}"],
    ("turn_off", "media"): ["silence {d}", "stop whatever is on {d}"],
    ("turn_on", "fan"): ["spin up {d}", "let {d} spin", "get some air from {d}", "blow some air with {d}"],
    ("turn_on", "vacuum"): ["send {d} to clean", "let {d} clean", "have {d} clean", "start cleaning with {d}", "send out {d}", "make {d} clean", "clean the floor with {d}", "send {d} to work"],
    ("turn_off", "vacuum"): ["make {d} stop cleaning", "stop {d} from cleaning", "{d} should stop cleaning"],
    ("turn_on", "scene"): ["set the scene [to|for] {d}", "{d}", "{d} scene", "scene {d}", "go to {d}", "change to {d}", "switch to {d}", "i am in the mood for {d}", "it's {d}", "put the house in {d}", "apply {d}", "load {d}", "call up {d}", "go into {d}", "we want {d}", "make it {d}"],
    ("turn_on", "climate"): ["heat with {d}", "get {d} going, it is cold"],
    ("set_level", "light"): ["dim {d} to {p}", "dim {d} [down] to {p}", "brighten {d} [up] to {p}", "light {d} at {p}", "make {d} {p} bright", "make {d} shine at {p}", "dim down {d} to {p}", "light up {d} to {p}", "~dim {d} at {p}", "~brighten up {d} to {p}"],
    ("set_level", "cover"): ["open {d} to {p}", "open {d} {p}", "close {d} to {p}", "open {d} {p} of the way", "raise {d} to {p}", "lower {d} to {p}", "pull {d} (up|down) to {p}", "roll {d} (up|down) to {p}", "make {d} {p} open", "have {d} {p} open", "i want {d} {p} open", "{d} {p} open", "~pull {d} to {p}"],
    ("set_level", "valve"): ["open {d} to {p}", "open {d} {p}", "close {d} to {p}", "make {d} {p} open"],
    ("set_level", "fan"): ["speed {d} up to {p}", "slow {d} down to {p}", "slow down {d} to {p}", "speed up {d} to {p}", "spin {d} at {p}", "~slow {d} to {p}"],
    ("set_level", "media"): ["play {d} at {p}", "make {d} {p} loud", "(turn up|turn down) the (volume|sound) (of|on) {d} to {p}", "{d} volume (up|down) to {p}"],
}  # fmt: skip
QUANTITY_WORDS = {
    "light": ("brightness", "brightness", "level", "intensity", "light level"),
    "media": ("volume", "volume", "level", "sound", "loudness"),
    "fan": ("speed", "speed", "level", "power"),
    "cover": ("position", "position", "level", "height"),
    "valve": ("position", "level", "flow", "opening"),
}
# No device said, only what is wrong with the room: {a} is " in the kitchen" or " in here".
INDIRECT = {
    ("turn_on", "light"): ["it is [too|so|pretty|very] dark{a}", "it's (too|so|really|very) dark{a}", "i can't see [anything|a thing]{a}", "i cannot see anything{a}", "let there be light{a}", "i need [some|more] light{a}", "could we have some light{a}", "give me some light{a}", "some light{a} please", "it's getting dark{a}", "light up {r}", "light {r} up", "(lighten|brighten) up {r}", "we need light{a}", "put some light{a}", "it is pitch black{a}"],
    ("turn_off", "light"): ["it is [too|so|very] bright{a}", "it's (too|so|way too) bright{a}", "lights out{a}", "make it dark{a}", "make {r} dark", "i want it dark{a}", "too much light{a}", "darken {r}", "i am going to sleep, lights out{a}", "kill the light{a}", "it should be dark{a}", "no light{a}"],
    ("turn_on", "fan"): ["i need some air{a}", "it is stuffy{a}", "it's so stuffy{a}", "get some air moving{a}"],
    ("turn_off", "media"): ["i need silence{a}", "make it quiet{a}", "i want quiet{a}", "it is too noisy{a}"],
    ("close", "cover"): ["the sun is too bright{a}", "the sun is blinding me{a}", "i need privacy{a}", "keep the sun out{a}"],
    ("open", "cover"): ["let the sun in{a}", "let some daylight in{a}", "i want to see outside{a}", "let the sunshine in{a}"],
}  # fmt: skip

ASK = {
    "state": [
        "is {d} {s}", "is {d} {s}", "is {d} {s} (now|right now|currently|at the moment|again|already|yet)", "is {d} still {s}", "is {d} (really|actually|by any chance) {s}", "isn't {d} {s}", "was {d} {s}", "what is the [current] (state|status|value|level|reading|position|setting) of {d}",
        "what's the [current] (state|status|value|level|reading) of {d}", "what's up with {d}", "what is {d} (reading|at|set to|doing|showing)", "what's {d} (reading|at|set to|doing|showing)", "how is {d} [doing]", "check {d}", "check (if|whether) {d} is {s}", "check the (state|status|value) of {d}", "tell me (if|whether) {d} is {s}",
        "tell me the (state|status|value) of {d}", "tell me about {d}", "do you know (if|whether) {d} is {s}", "did (i|we|somebody) leave {d} {s}", "have i left {d} {s}", "what does {d} (say|show|read)", "show me {d}", "show the (state|status) of {d}", "get [me] the (state|status|value) of {d}", "read {d}", "has {d} been {s}", "was {d} left {s}",
        "give me the (state|status|value|reading) of {d}", "what (value|level|state) does {d} have", "i want to know (if|whether) {d} is {s}", "{d} state", "{d} status", "{d} {s} or not", "{d} value", "look (at|up) {d}", "see if {d} is {s}", "can you see (if|whether) {d} is {s}", "could you check {d}", "i wonder (if|whether) {d} is {s}",
        "are you sure {d} is {s}", "is it true that {d} is {s}", "what about {d}", "query {d}", "how (warm|cold|humid|full|high|much|low|loud|bright|far open|fast) is {d}", "please confirm that {d} is {s}", "any news from {d}", "in what state is {d}", "did {d} get {s}", "do we have {d} {s}", "has someone left {d} {s}",
        "{w} (if|whether) {d} is {s}", "{w} the (state|status) of {d}", "~has {d} been left {s}", "~can you check whether {d} is {s}", "~i want to know the state of {d}", "~what state is {d} in", "~show me whether {d} is {s}", "~can you tell me the value of {d}", "~i wonder what {d} says", "!inspect {d}", "!verify that {d} is {s}",
    ],
    "group": [
        "which {k} are [still|currently] {s}{ia}", "which of the {k} are {s}{ia}", "are (any|the|all|all the|all of the|any of the|my|any of my) {k} [still] {s}{ia}", "is any {k1} {s}{ia}", "is every {k1} {s}{ia}", "is there any {k1} {s}{ia}", "what is the (state|status) of the {k}{ia}", "how many {k} are {s}{ia}",
        "how many of the {k} are {s}{ia}", "are there any {k} {s}{ia}", "tell me (if|whether) (any|the|there are any) {k} are {s}{ia}", "what {k} are {s}{ia}", "do (i|we) have any {k} {s}{ia}", "check the {k}{ia}", "check (if|whether) any {k} are {s}{ia}", "show me the {k}{ia}", "list the {k} that are {s}{ia}", "list all {k} {s}{ia}",
        "did (i|we) leave (any|the) {k} {s}{ia}", "have i left any {k} {s}{ia}", "were any {k} left {s}{ia}", "has somebody left the {k} {s}{ia}", "are (all|any) {k}{ia} {s}", "which {k}{ia} are {s}", "is (a|some|the) {k1} {s}{ia}", "how are the {k}{ia}", "what about the {k}{ia}", "give me the status of all {k}{ia}", "is everything {s}{ia} with the {k}",
        "i want to know which {k} are {s}{ia}", "see if any {k} are {s}{ia}", "any {k} {s}{ia}", "{w} (if|whether) any {k} are {s}{ia}", "{w} which {k} are {s}{ia}", "~did we forget any {k} {s}{ia}", "~do you know which {k} are {s}{ia}", "~tell me which {k} are {s}{ia}", "~can you check the {k}{ia}", "!inspect the {k}{ia}",
    ],
}  # fmt: skip
# Sensors asked by what they measure. {a}: " in the kitchen".
BY_QUANTITY = {
    "temperature": ["how (warm|cold|hot) is it{a}", "what is the temperature{a}", "what's the temperature{a}", "what temperature is it{a}", "how many degrees is it{a}", "tell me the temperature{a}", "is it (warm|cold|hot){a}", "temperature{a}", "current temperature{a}", "what temperature do we have{a}", "{r} temperature", "what is the {r} temperature"],
    "humidity": ["how (humid|damp|dry|moist) is it{a}", "what is the humidity{a}", "what's the humidity{a}", "is it (humid|damp|dry){a}", "what is the air moisture{a}", "humidity{a}", "how much moisture is there{a}", "{r} humidity"],
    "motion": ["is (anyone|anybody|someone|somebody){a}", "is there (any motion|any movement|motion|movement){a}", "has anybody moved{a}", "do you see motion{a}", "is anything moving{a}", "was there movement{a}", "is there someone{a}"],
    "smoke": ["is there [any] smoke{a}", "is something burning{a}", "is there a fire{a}", "has smoke been detected{a}", "do you smell smoke{a}"],
    "power": ["how much power is used{a}", "how much power do we use{a}", "what is the power (use|usage|consumption){a}", "how many watts are used{a}", "what's the power draw{a}"],
    "leak": ["is there a leak{a}", "is water leaking{a}", "is there any water leak{a}", "is it leaking{a}", "is the floor wet{a}", "has water been detected{a}"],
    "co2": ["how good is the air{a}", "how is the air [quality]{a}", "what is the air quality{a}", "is the air (good|bad|fresh){a}", "what is the co2 level{a}", "how much co2 is there{a}"],
    "rain": ["is it raining{a}", "does it rain{a}", "how much rain fell{a}", "is there rain{a}"],
    "brightness": ["how bright is it{a}", "how dark is it{a}", "how much light is there{a}", "what is the light level{a}", "how many lux are there{a}", "is it (bright|dark) outside{a}"],
    "wind": ["how windy is it{a}", "is it windy{a}", "how strong is the wind{a}", "what is the wind speed{a}"],
    "energy": ["how much energy did we use{a}", "how much energy was used{a}", "how much electricity have we used{a}", "what did the solar panels produce{a}"],
    "pressure": ["what is the air pressure{a}", "how high is the pressure{a}", "what's the pressure{a}"],
    "noise": ["how loud is it{a}", "how noisy is it{a}", "what is the noise level{a}"],
    "gas": ["is there a gas leak{a}", "is gas leaking{a}", "do you smell gas{a}", "is there any carbon monoxide{a}"],
    "level": ["how full is the tank{a}", "what is the water level{a}", "how much water is left{a}", "how much is left in the tank{a}"],
    "uv": ["how high is the uv index{a}", "how strong is the sun{a}"],
    "soil": ["do the plants need water{a}", "how dry is the soil{a}", "is the soil dry{a}"],
    "mail": ["is there any mail{a}", "did we get mail{a}", "has the mail come{a}"],
    "battery": ["how much battery is left{a}", "is the battery low{a}", "how full is the battery{a}"],
}  # fmt: skip

GROUP = [
    "all {k}{ia}",
    "all {k}{ia}",
    "all my {k}{ia}",
    "(any|every one of the) {k}{ia}",
    "the {k}{ia}",
    "the {k}{ia}",
    "the {k}{ia}",
    "every {k1}{ia}",
    "every single {k1}{ia}",
    "all [of] the {k}{ia}",
    "all [of] my {k}{ia}",
    "{k}{ia}",
    "{k}{ia}",
    "my {k}{ia}",
    "our {k}{ia}",
    "each {k1}{ia}",
    "each of the {k}{ia}",
    "each and every {k1}{ia}",
    "all {k} there are{ia}",
    "both {k}{ia}",
    "those {k}{ia}",
    "the {k1}{ia}",
    "the whole {k}{ia}",
]
OF_AREA = [
    "the {a} {k}",
    "the {a} {k}",
    "{a} {k}",
    "{a} {k}",
    "all {a} {k}",
    "all the {a} {k}",
    "every {a} {k1}",
    "the {a} {k1}",
    "my {a} {k}",
    "all of the {a} {k}",
    "all my {a} {k}",
    "all the {k} {a}",
    "the {k} {a}",
    "{k} {a}",
    "{a}'s {k}",
    "the {a}'s {k}",
    "our {a} {k}",
    "{a}, all {k}",
    "any {a} {k}",
]
IN_AREA = [
    " in the {a}",
    " in the {a}",
    " in {a}",
    " on the {a}",
    " in my {a}",
    " of the {a}",
    " from the {a}",
    " inside the {a}",
    " for the {a}",
    " at the {a}",
    " in our {a}",
    " throughout the {a}",
    " over in the {a}",
    " down in the {a}",
    " all over the {a}",
    " on {a}",
    " within the {a}",
]
HERE = [
    "",
    "",
    "",
    " here",
    " in here",
    " in this room",
    " in my room",
    " around here",
    " in the room",
    " over here",
    " in this place",
    " near me",
    " where i am",
    " right here",
]
EVERYWHERE = [
    " in the house",
    " everywhere",
    " in the whole house",
    " at home",
    " in my home",
    " across the house",
    " in every room",
    " in the apartment",
    " in all rooms",
    " all over the house",
    " in the entire house",
    " throughout the house",
    " in the flat",
    " around the house",
    " in the building",
    " anywhere",
    " of the house",
    " in my house",
]

# Around an imperative. {c} is the command, {g} the command with its verb in -ing.
FRAMES = [
    "please {c}", "please {c}", "{c} please", "{c}, please", "can you {c}", "could you {c}", "would you {c}", "will you {c}", "can you please {c}", "could you please {c}", "would you please {c}", "could you {c} please", "can you {c} for me", "i want you to {c}", "i'd like you to {c}", "i would like you to {c}", "i need you to {c}",
    "i would like to {c}", "i want to {c}", "i'd like to {c}", "i need to {c}", "i wanted to {c}", "let's {c}", "let us {c}", "go ahead and {c}", "go and {c}", "go {c}", "just {c}", "now {c}", "quickly {c}", "make sure to {c}", "make sure you {c}", "don't forget to {c}", "do not forget to {c}", "remember to {c}", "you can {c}", "you may {c}", "you should {c}",
    "you have to {c}", "you must {c}", "it is time to {c}", "it's time to {c}", "time to {c}", "be so kind and {c}", "would you be so kind [as] to {c}", "do me a favor and {c}", "i was wondering if you could {c}", "is it possible to {c}", "are you able to {c}", "why don't you {c}", "how about you {c}", "feel free to {c}", "help me {c}", "help me to {c}", "try to {c}",
    "can we {c}", "could we {c}", "shall we {c}", "may i ask you to {c}", "i forgot to {c}", "you forgot to {c}", "we should {c}", "we need to {c}", "we have to {c}", "i have to {c}", "i must {c}", "somebody should {c}", "someone please {c}", "kindly {c}", "i ask you to {c}", "your job is to {c}", "see if you can {c}", "will you please {c}", "won't you {c}",
    "would you mind {g}", "do you mind {g}", "how about {g}", "what about {g}", "i suggest {g}", "thank you for {g}", "thanks for {g}", "start by {g}", "i'm thinking of {g}", "i would appreciate you {g}", "consider {g}",
    "~i would be glad if you could {c}", "~you could {c}", "~it would be nice if you could {c}", "~we want you to {c}", "~do {c}", "~would you be able to {c}", "~i am asking you to {c}", "~may we {c}",
]  # fmt: skip
LEADS = [
    "hey ", "ok ", "okay ", "hey hob ", "hob ", "hello ", "so ", "um ", "uh ", "well ", "alright ", "right, ", "hi ", "hey there ", "ok hob ", "hob, ", "hey, ", "ok, ", "good, ", "er ", "yes, ", "yeah ", "and ", "then ", "oh ", "listen, ", "quick, ", "dear hob, ", "sorry, ", "excuse me, ", "also ", "actually ", "no wait, ", "next, ", "good morning, ", "good evening, ", "hm ",
    "i am leaving, ", "i'm leaving, ", "i'm going to bed, ", "i am going out, ", "it's late, ", "it is late, ", "we are home, ", "i'm home, ", "i am home, ", "guests are coming, ", "since nobody is home, ", "before i forget, ", "when you have a moment, ", "if you can, ", "if possible, ", "as always, ", "one more thing, ", "because it's cold, ", "the baby sleeps, ", "dinner is ready, ",
    "i'm tired, ", "i am busy, ", "my hands are full, ", "i have to go, ", "it is getting dark, ", "the sun is up, ", "i just woke up, ", "for the party, ", "to save energy, ", "for safety, ", "before we go, ", "while i'm away, ", "this time ", "first of all, ", "as soon as you can, ", "real quick, ", "once more, ", "again, ", "for now, ",
]  # fmt: skip
TAILS = [
    " please", " please", " now", " for me", " right now", " thanks", " thank you", " will you", " right away", " for me please", " again", " at once", " if you can", " immediately", " today", " tonight", ", thanks", ", will you", " for now", " this evening", " already", " if possible", " asap", " as soon as possible", " quickly", " hob", ", hob", " ok", " okay", ", would you",
    " for a while", " before i leave", " i'm going to bed", ", it is late", ", it's late", ", i am leaving", ", i'm tired", " because it is cold", " because it's late", " when you can", " once more", " for us", " for the night", " for the guests", " until later", " so i can sleep", " so we can eat", ", i'm cold", ", guests are coming", " and nothing else", " only", " as usual", ", thank you very much", " my friend",
    ", can you", ", could you", " like yesterday", " this time", " too", " as well", " instead", " then", " and be quick",
]  # fmt: skip

CHAT = [
    "what is the capital of (france|spain|peru|{w})", "tell me a joke", "who won the (game|election|match)", "how old are you", "write a poem about {w}", "what do you think about {w}", "why is the {w} {w}", "sing a song about {w}", "i like {w}", "how do i cook {w}", "book a table for {n}", "call my (mother|doctor|boss)", "order a {w} pizza",
    "what is {n} times {n}", "do you know {w}", "translate {w} to (german|french)", "what's the news about {w}", "send an email to {w}", "how far is {w} from here", "what is a {w}", "who is {w}", "when is the next {w}", "where can i buy {w}", "i am (tired|hungry|bored|happy|sad)", "my {w} is {w}", "we went to {w}", "{w} and {w}", "do you like {w}",
    "show me pictures of {w}", "find a {w} near me", "what day is it", "what time is it in {w}", "will it rain tomorrow", "read me the news", "define {w}", "spell {w}", "how do you say {w} in (german|french)", "i need a taxi", "post {w} on {w}", "is {w} good for you", "should i {w} the {w}", "good (morning|night|evening)", "thank you", "thanks", "hello",
    "how are you", "who are you", "what can you do", "what's your name", "never mind", "forget it", "stop talking", "that was {w}", "you are {w}", "is there a {w} in {w}", "how many {w} are in a {w}", "what does {w} mean", "what happened in {w}", "give me a recipe for {w}", "what should i wear today", "who wrote {w}", "convert {n} {w} to {w}",
    "are you {w}", "can you {w}", "do you {w}", "please {w} {w}", "tell me about {w} {w}", "i think {w} is {w}", "the {w} of {w} {w}", "{w} {w} {w}", "{w}", "what is the best {w}", "how tall is {w}", "why do people {w}", "check my email", "what is on my calendar", "when does the {w} open", "buy tickets for {w}", "how much does a {w} cost", "i love you", "nothing", "cancel that", "you there",
    "!what's the meaning of life", "!who invented the {w}", "!recommend a film about {w}", "!summarize {w}",
]  # fmt: skip
# Wishes that none of the shipped tools grants; {d} is a device of the home.
NO_TOOL = [
    "make {d} (red|green|blue|yellow|purple|orange|pink|warm white)", "set {d} to (red|green|blue|purple|orange)", "change the color of {d} to (red|blue|green|yellow|pink)", "turn {d} (red|blue|green|yellow)", "pause {d}", "skip this song", "next song", "play the next track on {d}", "play some {w} on {d}", "rewind {d}", "mute {d}", "play {w} by {w}", "play some {w} music",
    "set a timer for {n} minutes", "start a {n} minute timer", "remind me in {n} minutes", "wake me up at {n}", "set an alarm for {n}", "rename {d} to {w}", "take a picture", "record a video with {d}", "announce that dinner is ready", "tell everyone that {w} is here", "send a message to {w}", "arm the alarm", "disarm the alarm", "reboot {d}", "restart {d}", "update {d}",
    "tell me when {d} changes", "remind me to {w} tomorrow", "schedule {d} for tomorrow", "in {n} minutes turn off {d}", "turn on {d} at {n} o'clock", "turn off {d} in {n} minutes", "send {d} home", "dock {d}", "cancel the timer", "cancel my alarm", "how much time is left on the timer", "blink {d}", "{d} should blink", "where is {d}", "find {d}", "who is at the door",
    "make a new list called {w}", "call {w}", "text {w} that i am late", "delete {d}", "add a new device", "invite {w} to dinner", "turn {d} to channel {n}", "change the channel on {d}", "what is playing on {d}", "start a countdown of {n} seconds", "stopwatch", "pair {d}", "connect {d} to the {w}",
    "set the color temperature of {d} to {n} kelvin", "shuffle the music", "water the {w}", "feed the {w}", "brew a coffee", "charge {w}", "~paint {d} (red|blue|green)", "~pause the music on {d}",
]  # fmt: skip
ITEMS = (
    "milk,bread,eggs,butter,cheese,apples,bananas,oranges,tomatoes,potatoes,onions,garlic,rice,pasta,flour,sugar,salt,pepper,coffee,tea,juice,water,beer,wine,chicken,beef,fish,yogurt,cereal,honey,jam,olive oil,toilet paper,soap,"
    "shampoo,toothpaste,dish soap,trash bags,paper towels,cat food,dog food,light bulbs,batteries,diapers,ice cream,chocolate,cookies,chips,carrots,cucumbers,lettuce,mushrooms,lemons,strawberries,frozen pizza,orange juice,oat milk,"
    "brown bread,green tea,black beans,peanut butter,cream cheese,clean the windows,call the plumber,water the plants,wash the car,pay the rent,book flights,take out the trash,mow the lawn,fix the door,walk the dog,do the laundry,"
    "vacuum the stairs,buy a present,write to grandma,renew the passport,sunscreen,socks,swimsuit,passport,screws,nails,paint,sandpaper,duct tape,glue,a birthday cake,wrapping paper,candles,napkins,sour cream,red wine,blue cheese"
).split(",")
LISTS = (
    "shopping list,shopping list,shopping list,groceries,grocery list,chores,to do list,todo list,to-do list,packing list,todo,wish list,hardware store,shopping,party list,christmas list,birthday list,task list,tasks,errands,garden list,"
    "supermarket list,pharmacy list,weekend list,work list,holiday list,camping list,cleaning list,reading list,movie list,gift list,bucket list,drug store,market"
).split(",")
ERRORS = (
    "the {d} did not answer,offline,no answer,timeout,denied by the owner,not allowed,low battery,the device is offline,it did not answer in time,the broker is gone,no such list,the item is not on the list,blocked,jammed,"
    "the plugin stopped,too many requests,busy,the door is open,out of range,permission denied,not found,it is unplugged,the bridge is offline,unknown state,the call was refused"
).split(",")


@cache
def plain(key: str, source: str, hold: str) -> tuple[str, ...]:
    """The phrases of a list that may be used: for training (`hold` empty) or those kept under `~` or `!`."""
    lines = TABLES[source][key] if key else TABLES[source]
    chosen = tuple(line.lstrip("~!") for line in lines if (line[0] if line[0] in "~!" else "") == hold)
    return chosen or tuple(line for line in lines if line[0] not in "~!")


TABLES = {
    "verb": VERB,
    "bare": BARE,
    "wanted": WANTED,
    "ask": ASK,
    "frames": FRAMES,
    "chat": CHAT,
    "no_tool": NO_TOOL,
    "kind": BY_KIND,
}


def has_kept(key, source: str, hold: str) -> bool:
    """Whether the list keeps any phrase back under `hold`."""
    return any(line[0] == hold for line in TABLES[source].get(key, ()))


CHOICE = re.compile(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]")


def expand(rng: Random, template: str) -> str:
    """Resolves choices and optional parts, innermost first, and tidies blanks."""

    def resolve(match: re.Match) -> str:
        if match.group(1) is not None:
            return rng.choice(match.group(1).split("|"))
        return rng.choice(match.group(2).split("|")) if rng.random() < 0.5 else ""

    while True:
        template, changes = CHOICE.subn(resolve, template)
        if not changes:
            return " ".join(template.split()) if "  " in template or template[:1] == " " else template


IRREGULAR = {
    "put": "putting",
    "shut": "shutting",
    "set": "setting",
    "get": "getting",
    "run": "running",
    "stop": "stopping",
    "let": "letting",
    "cut": "cutting",
    "hit": "hitting",
    "begin": "beginning",
    "drop": "dropping",
    "flip": "flipping",
    "dim": "dimming",
    "swing": "swinging",
    "double": "double",
    "fully": "fully",
}


def gerund(command: str) -> str:
    """The command with its first word in -ing: "turn on the lamp" becomes "turning on the lamp"."""
    verb, _, rest = command.partition(" ")
    if verb in IRREGULAR:
        verb = IRREGULAR[verb]
    elif verb.endswith("e") and not verb.endswith(("ee", "oe")):
        verb = verb[:-1] + "ing"
    else:
        verb += "ing"
    return f"{verb} {rest}" if rest else verb
