"""Subjects that `honest_matches.py` searches for: words of everyday life, written for it."""

ABSENT = """
elephant, giraffe, zebra, lion, tiger, penguin, kangaroo, koala, panda, polar bear, gorilla,
chimpanzee, hippopotamus, rhinoceros, crocodile, snake, lizard, tortoise, frog, owl, eagle,
parrot, peacock, flamingo, swan, hummingbird, octopus, jellyfish, shark, whale, lobster, starfish,
goldfish, butterfly, spider, bumblebee, snail, hedgehog, squirrel, raccoon, fox, wolf, reindeer,
camel, llama, donkey, pig, hamster, bat in a cave, scorpion,
wedding cake, pizza, sushi, hamburger, spaghetti, pancakes, croissant, chocolate bar, cup of
coffee, glass of wine, bowl of soup, fried eggs, roast turkey, cheese platter, strawberries,
bananas, pineapple, pumpkin pie, avocado toast, noodle soup, lobster dinner, salad bowl, loaf of
bread, jar of honey, box of doughnuts, taco, pretzel, waffles, birthday cake, plate of oysters,
spaceship, submarine, helicopter, airplane at an airport, hot air balloon, steam locomotive,
cruise ship, fighter jet, tank, fire engine, ambulance, bulldozer, tractor, excavator, cement
mixer, space shuttle, hovercraft, zeppelin, cable car, tram, sailboat race, container ship, rocket
launch, garbage truck, forklift,
typewriter, laptop computer, computer keyboard, washing machine, refrigerator, microwave oven,
chandelier, grandfather clock, bookshelf, piano, violin, harp, accordion, cello, xylophone,
telescope, microscope, sewing machine, chess board, jigsaw puzzle, dice, playing cards,
candlestick, perfume bottle, diamond ring, pearl necklace, lipstick, scissors, screwdriver,
chainsaw, lawn mower, wheelbarrow, bathtub, toilet, toothbrush, hair dryer, iron, alarm clock,
light bulb, vacuum cleaner, globe, passport, banknotes, coins, calculator, printer, projector,
satellite dish, solar panels, wind turbine, oil rig, traffic light, parking meter, mailbox,
vending machine, shopping cart, cash register,
pyramid, igloo, lighthouse, windmill, castle, cathedral, mosque, pagoda, skyscraper, stadium
floodlights at night, nuclear power plant, oil refinery, coal mine, factory floor, hospital ward,
operating room, dentist, courtroom, prison cell, library, laboratory, classroom blackboard,
supermarket, airport terminal, subway map, petrol station, greenhouse, vineyard, wheat field, rice
terraces, sunflower field, volcano, glacier, iceberg, coral reef, rainforest, bamboo forest,
cactus, northern lights, milky way, full moon, rainbow, lightning, tornado, solar eclipse,
astronaut, ballerina, surgeon, firefighter, pilot in a cockpit, chef in a kitchen, judge, nun,
monk, pope, king on a throne, mermaid, vampire, zombie, scuba diver, beekeeper, blacksmith,
carpenter, plumber, electrician, barber, dentist and patient, newborn baby in a hospital, bride
and groom, graduation ceremony, funeral, sumo wrestlers, fencing match, archery, golf, bowling,
billiards, table tennis, ice hockey, figure skating, pole vault, javelin, weightlifting, rowing
race, water polo, curling, horse-drawn carriage, bullfight, parachute jump, hang glider, magician,
orchestra, opera singer, political rally, business meeting,
screenshot of a website, spreadsheet, handwritten letter, newspaper front page, world map,
blueprint, x-ray, barcode, sheet music, tax form, train ticket, business card, oil painting,
stained glass window, marble statue, origami crane, snow globe, christmas tree, easter eggs,
jack-o'-lantern, birthday candles, menorah, nativity scene, dollhouse, teddy bear, robot, dinosaur
skeleton, mummy, suit of armour, samurai sword,
unicycle, wheelchair, snowmobile, office, telephone, fireplace, museum, stove, pumpkin carving,
snowman, fireworks, bagpipes, batman, pirate costume, rabbit, deer, kilt, limousine, wagon, bunny,
badminton, hurdles, doberman, luggage, apple, bowl of candy, saddle, trophy, doll, gymnasium, row
of lockers, canal, tropical island, furniture, bedroom, marathon, pinata, dandelion, boy with a
telephone, girl with pigtails, man in a tuxedo,
"""
"""Those that a caption of the set names are left out when it runs."""

PRESENT = """
dog, brown dog, black dog, white dog, two dogs, puppy, greyhound, cat, horse, cow, sheep, bird,
seagulls, goat, child, little girl, boy, baby, man, old man, woman, couple, crowd, people, group
of people, family, children playing, three girls, bride, soldiers, cowboy, clown, bikini, wetsuit,
helmet, red jacket, pink dress, sunglasses, hat, red car, bicycle, motorcycle, dirt bike, bus,
truck, boat, canoe, kayak, sailboat, train, skateboard, skateboarder, snowboard, snowboarder,
skier, surfer, surfboard, swimmer, climber, rock climbing, hiker, football player, soccer player,
basketball, baseball, tennis, volleyball, hockey, rugby, cyclist, bmx, race, runners, jumping,
swimming, surfing, skiing, sledding, dancing, fishing, camping, tent, beach, ocean, waves, lake,
river, waterfall, mountain, snow, forest, field, grass, desert, sand, sunset, city street, park,
bench, playground, swing, slide, swimming pool, trampoline, fountain, bridge, stairs, fence, snowy
mountain, ball, tennis ball, frisbee, stick, toy, balloon, bubbles, guitar, drums, camera,
umbrella, flag, ice cream, drinking beer, restaurant, table, couch, bed, dog in the water, dog
running, dog with a ball, boy in a pool, man on a bike, girl on a swing, man with a beard, woman
with a dog, dog in the snow, child on a slide, people on a beach, kids playing soccer, climbing a
rock, riding a wave, football game, man in a suit, woman in a black dress, wedding, parade,
carnival, concert, singer, graffiti, mud, puddle, leaves, autumn leaves, flowers, tree, log,
rocks, cliff, hill, sidewalk, road, smoking, sleeping, reading, laughing, kissing, hugging,
painted face, mask, costume, sign, car, race car, police officer, rope, inflatable toy
"""
"""Those that no caption of the set names are left out when it runs."""

FOREIGN = (
    "ein Hund spielt im Schnee",
    "zwei Kinder sitzen am Strand",
    "eine Frau mit einem roten Hut",
    "der Sonnenuntergang über dem Meer",
    "un chien court dans la neige",
    "une femme avec un chapeau rouge",
    "deux enfants jouent sur la plage",
    "un perro corre por la playa",
    "una mujer con un sombrero rojo",
    "dos niños juegan en el agua",
    "un cane corre sulla spiaggia",
    "twee honden spelen in de sneeuw",
    "en hund leker i snön",
    "um cachorro na praia com uma bola",
    "dwa psy biegną po śniegu",
    "两只狗在雪地里玩",
    "海滩上的日落",
    "雪の中で遊ぶ犬",
    "собака бежит по снегу",
    "كلب يلعب في الثلج",
    "눈 속에서 노는 개",
    "σκύλος στο χιόνι",
)
"""Sentences in other languages, most of them of subjects that are there."""
