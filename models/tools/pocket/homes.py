"""Houses: rooms, floors and devices with names, aliases and kinds."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from .words import any_word, number_word

ROOMS = (
    "kitchen,living room,bedroom,bathroom,garage,office,hallway,hall,dining room,guest room,nursery,attic,basement,garden,"
    "terrace,balcony,laundry room,laundry,utility room,entrance,entry,study,workshop,shed,greenhouse,pantry,library,gym,"
    "playroom,cellar,driveway,porch,kids room,kid's room,children's room,master bedroom,conservatory,outside,lobby,lab,"
    "warehouse,server room,barn,stable,pool,backyard,front yard,yard,patio,den,lounge,family room,closet,toilet,wc,corridor,"
    "stairs,staircase,landing,foyer,sunroom,media room,music room,game room,storage room,boiler room,loft,carport,bar,studio,"
    "meeting room,kitchenette,mudroom,shop,roof,veranda,guest bathroom,home office,back garden,ensuite,parents room"
).split(",")
FLOORS = (
    "ground floor,first floor,second floor,third floor,upstairs,downstairs,upper floor,lower floor,top floor,main floor,"
    "basement level,attic floor,annex,garden level,west wing,east wing,outdoors,lower level,upper level"
).split(",")
NOUNS = {
    "light": "light,light,lamp,lamp,spot,spotlight,lantern,strip,led strip,chandelier,bulb,sconce,lights,downlight,downlights,"
    "ceiling light,ceiling lamp,pendant,nightlight,floor lamp,desk lamp,table lamp,spots,floodlight,cabinets,countertop,"
    "ceiling,lights,uplighter,night light,fairy lights,wall light,reading lamp,bedside lamp,string lights,backlight",
    "switch": "switch,plug,socket,outlet,heater,kettle,coffee maker,coffee machine,pump,charger,humidifier,dehumidifier,oven,"
    "dryer,washer,washing machine,dishwasher,sprinkler,relay,siren,boiler,freezer,fridge,toaster,iron,router,printer,"
    "compressor,power strip,smart plug,water heater,doorbell,fountain,irrigation,towel rail,aquarium,grill,pool pump,blanket",
    "fan": "fan,ceiling fan,extractor,ventilator,air purifier,extractor fan,exhaust fan,ventilation,table fan,blower,purifier",
    "cover": "blind,curtain,shutter,shade,garage door,gate,awning,blinds,curtains,roller,skylight,shades,window,roller blind,"
    "shutters,drapes,roof window,venetian blind,screen,canopy,pergola,tent,roller shutter,projector screen,hatch",
    "valve": "valve,tap,water valve,main valve,gas valve,irrigation valve,faucet,main water,sprinkler valve,radiator valve",
    "lock": "lock,door,front door,back door,side door,gate lock,cellar door,door lock,main door,smart lock,deadbolt,gate,safe",
    "climate": "thermostat,heating,radiator,air conditioner,heat pump,ac,floor heating,heater,hvac,aircon,air conditioning,boiler",
    "media": "tv,speaker,radio,stereo,projector,soundbar,television,speakers,record player,amplifier,music player,receiver,hifi",
    "vacuum": "vacuum,robot,mop,cleaner,robot vacuum,vacuum cleaner,hoover,roomba,mower,sweeper",
    "scene": "party mode,movie night,good night,away mode,reading,dinner,morning,holiday,focus,relax,bedtime,cinema,romantic,"
    "dinner time,party,good morning,sleep mode,leaving,welcome home,game night,yoga,cooking,sunset,work mode,wake up,guests,"
    "christmas,nap time,chill,date night,stealth mode,night mode,vacation,bright,cozy",
}
QUANTITIES = {
    "temperature": "temperature,temp,thermometer,temperature sensor",
    "humidity": "humidity,humidity sensor,hygrometer,moisture",
    "motion": "motion,motion sensor,motion detector,presence,occupancy,presence sensor",
    "smoke": "smoke detector,smoke,smoke alarm,smoke sensor",
    "door": "door sensor,door contact,door",
    "window": "window sensor,window contact,window",
    "power": "power,power meter,power usage,consumption,energy meter,power consumption",
    "leak": "leak sensor,water leak,leak,water sensor",
    "battery": "battery,battery level,battery charge",
    "pressure": "pressure,air pressure,barometer",
    "co2": "co2,co2 level,air quality,carbon dioxide,air quality sensor",
    "rain": "rain sensor,rain,rainfall",
    "level": "tank level,water level,level,tank,oil level,fill level",
    "brightness": "illuminance,brightness,light level,light sensor,lux",
    "wind": "wind speed,wind,wind sensor",
    "energy": "energy,energy today,energy use,solar production,solar power,electricity",
    "noise": "noise level,noise,sound level",
    "gas": "gas sensor,gas,carbon monoxide,co sensor,gas detector",
    "uv": "uv index,uv",
    "phone": "phone,phone battery,laptop,car battery,ev charge,car",
    "soil": "soil moisture,plant,soil,plant sensor",
    "mail": "mailbox,mail,letter box",
}
ADJECTIVES = (
    "left,right,main,small,big,old,new,upper,lower,corner,desk,floor,table,bedside,wall,window,reading,night,front,back,side,"
    "ceiling,north,south,east,west,red,blue,green,white,outer,inner,tall,top,bottom,second,first,mirror,work,tv,sofa,stairs,"
    "play,piano,garden,middle,center,spare,guest,kids,round,long,outdoor,indoor,rear,far,near,large,little,island,sink,stove,bed,"
    "cabinet,shelf,shower,bath,closet,hallway,counter,bar,workbench,third,extra,smart,warm,cold,mini,double"
).split(",")
WEIGHTS = {
    "light": 8,
    "switch": 5,
    "cover": 4,
    "sensor": 5,
    "lock": 2,
    "fan": 2,
    "climate": 2,
    "media": 2,
    "valve": 1.3,
    "vacuum": 1,
    "scene": 2,
}
GROUP_NOUNS = {
    "light": ("light", "light", "light", "lamp", "bulb", "light"),
    "switch": ("switch", "switch", "plug", "socket", "outlet"),
    "fan": ("fan", "fan", "fan", "ventilator"),
    "cover": ("cover", "blind", "blind", "curtain", "shutter", "shade", "roller blind", "drape"),
    "valve": ("valve", "valve", "tap"),
    "lock": ("lock", "door", "door lock"),
    "climate": ("thermostat", "radiator", "heater", "air conditioner"),
    "media": ("speaker", "tv", "media player", "television"),
    "vacuum": ("vacuum", "vacuum cleaner", "robot vacuum", "robot"),
}
MASS_NOUNS = {
    "light": ("lighting",),
    "climate": ("heating", "heat", "air conditioning", "ac"),
    "media": ("music", "audio", "sound"),
}


@dataclass
class Device:
    name: str
    kind: str
    area: str | None = None
    aliases: list[str] = field(default_factory=list)
    quantity: str | None = None
    """What a sensor measures; never shown, only asked for."""

    @property
    def names(self) -> list[str]:
        return [self.name, *self.aliases]


@dataclass
class Home:
    devices: list[Device]
    rooms: dict[str, str | None]
    """Rooms in the owner's order, with their floor."""

    @property
    def floors(self) -> list[str]:
        return list(dict.fromkeys(floor for floor in self.rooms.values() if floor))

    @property
    def area_names(self) -> list[str]:
        stood_in = [device.area for device in self.devices if device.area]
        return list(dict.fromkeys([*self.rooms, *stood_in, *self.floors]))

    def lies_in(self, device: Device, area: str) -> bool:
        return device.area is not None and area in (device.area, self.rooms.get(device.area))

    def group(self, kind: str, area: str | None = None) -> list[Device]:
        return [d for d in self.devices if d.kind == kind and (area is None or self.lies_in(d, area))]

    def all_names(self) -> set[str]:
        return {name for device in self.devices for name in device.names}

    def words_of(self, device: Device) -> set[str]:
        """Every word that a speaker may use for the device."""
        words = set(" ".join([*device.names, device.area or "", self.rooms.get(device.area or "") or ""]).split())
        return (
            words | set(GROUP_NOUNS.get(device.kind, ())) | {plural(noun) for noun in GROUP_NOUNS.get(device.kind, ())}
        )


def plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun + "s"


def noun_for(rng: Random, kind: str, quantity: str | None) -> str:
    return rng.choice((QUANTITIES[quantity] if quantity else NOUNS[kind]).split(","))


def code(rng: Random) -> str:
    """A short mark with a digit, as on a panel: k7, 2b, n2o, 104."""
    letter = lambda: rng.choice("abcdefghijklmnopqrstuvwxyz")  # noqa: E731
    return rng.choice(
        (
            letter() + str(rng.randint(1, 99)),
            str(rng.randint(1, 9)) + letter(),
            str(rng.randint(1, 250)),
            letter() + str(rng.randint(2, 9)) + letter(),
        )
    )


def name_for(rng: Random, kind: str, quantity: str | None, area: str, evaluation: bool, random_share: float) -> str:
    """A device's name; `random_share` of them carry a random or invented word."""
    noun = noun_for(rng, kind, quantity)
    dice = rng.random()
    if dice < random_share:
        word = any_word(rng, evaluation)
        forms = [
            (8, lambda: f"{word} {noun}"),
            (4, lambda: f"{word} {any_word(rng, evaluation)}"),
            (3, lambda: word),
            (2, lambda: f"{rng.choice(ADJECTIVES)} {word} {noun}"),
            (2, lambda: f"{area} {word}"),
            (1, lambda: f"{word} {area} {noun}"),
            (1, lambda: f"{word}'s {noun}"),
            (1, lambda: f"{noun} {word}"),
            (1, lambda: f"{word} {code(rng)}"),
            (1, lambda: f"{word} {any_word(rng, evaluation)} {noun}"),
        ]
    else:
        forms = [
            (8, lambda: f"{area} {noun}"),
            (4, lambda: f"{area} {rng.choice(ADJECTIVES)} {noun}"),
            (5, lambda: f"{rng.choice(ADJECTIVES)} {noun}"),
            (1, lambda: f"{noun} {rng.choice(ADJECTIVES)}"),
            (2, lambda: f"{noun} {rng.randint(1, 12)}"),
            (1, lambda: f"{area} {noun} {rng.randint(1, 6)}"),
            (1, lambda: f"{code(rng)} {noun}"),
            (1, lambda: f"{noun} {number_word(rng.randint(1, 6))}"),
            (3, lambda: noun),
            (1, lambda: f"{noun} {area}"),
            # a name whose words play another role: a room or a kind inside the name of something else
            (1, lambda: f"{rng.choice(ROOMS)} {noun}"),
            (1, lambda: f"{rng.choice(list(GROUP_NOUNS))} {noun}"),
        ]
    return rng.choices([form for _, form in forms], [weight for weight, _ in forms])[0]()


def room_name(rng: Random, evaluation: bool) -> str:
    word = any_word(rng, evaluation)
    return rng.choice(
        (
            f"{word} room",
            word,
            f"{word} hall",
            f"{word}'s room",
            f"{word}'s bedroom",
            f"{rng.choice(ROOMS)} {rng.randint(1, 3)}",
            f"room {rng.randint(1, 20)}",
            f"zone {rng.randint(1, 9)}",
        )
    )


def make_home(rng: Random, count: int, evaluation: bool = False, random_share: float = 0.5) -> Home:
    """A house of `count` devices. With `evaluation` its random words are those that training never sees."""
    rooms = rng.sample(ROOMS, max(2, count // 4 + rng.randint(0, 2)))
    for index in range(len(rooms)):
        if rng.random() < 0.12:
            rooms[index] = room_name(rng, evaluation)
    floors = rng.sample(FLOORS, rng.randint(1, 3)) if rng.random() < 0.45 else []
    placed = {
        room: rng.choice(floors) if floors and rng.random() < 0.9 else None for room in rooms if room not in floors
    }
    home = Home([], placed)
    taken = set(placed) | set(floors)
    kinds, weights = list(WEIGHTS), [weight * rng.choice((0.3, 1, 1, 2)) for weight in WEIGHTS.values()]
    while len(home.devices) < count:
        kind = rng.choices(kinds, weights)[0]
        quantity = rng.choice(list(QUANTITIES)) if kind == "sensor" else None
        area = None if kind == "scene" or rng.random() < 0.08 else rng.choice(list(placed))
        name = name_for(rng, kind, quantity, area or rng.choice(list(placed)), evaluation, random_share)
        if name in taken:
            continue
        taken.add(name)
        device = Device(name, kind, area, quantity=quantity)
        for _ in range(rng.choice((0, 0, 0, 0, 0, 0, 1, 1, 2))):
            alias = name_for(rng, kind, quantity, area or rng.choice(list(placed)), evaluation, 0.6)
            if alias not in taken:
                taken.add(alias)
                device.aliases.append(alias)
        home.devices.append(device)
    return home
