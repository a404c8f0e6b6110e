import { randomInt } from 'node:crypto'

const ADJECTIVES = [
  'able amber bold brave breezy bright brisk calm cheery clear clever cosy crisp dapper deft eager early fair fleet',
  'fond free fresh gentle glad golden grand happy hardy hazel honest jolly keen kind lively lucky mellow merry mild',
  'misty neat nimble noble placid plucky proud quick quiet rapid ready rosy rustic serene sharp silver smart snug',
  'solid sprightly spry steady still sunny swift tidy tranquil trusty vivid warm wise witty zesty',
]
  .join(' ')
  .split(' ')

const ANIMALS = [
  'adder badger bat beaver bee bittern bunting capercaillie curlew deer dipper dolphin dove eagle eel egret elk falcon',
  'ferret finch fox frog gannet goat godwit goose grouse gull hare hawk hedgehog heron ibex jackdaw jay kestrel kite',
  'lamb lapwing lark linnet lynx magpie marten merlin mole moth mouse newt nightjar osprey otter owl oyster pheasant',
  'pika pipit pony ptarmigan puffin quail rabbit ram raven redstart robin rook salmon sandpiper seal shrew siskin',
  'skylark snipe sparrow squirrel stag starling stoat stork swan swift tern thrush toad trout turnstone vole wagtail',
  'warbler weasel whimbrel wigeon wolf wren',
]
  .join(' ')
  .split(' ')

/** A name that is easy to say and to remember: `calm-otter`. About 8,000 of them, so a name can be taken. */
export function randomName(pick: (below: number) => number = randomInt): string {
  return `${ADJECTIVES[pick(ADJECTIVES.length)]}-${ANIMALS[pick(ANIMALS.length)]}`
}
