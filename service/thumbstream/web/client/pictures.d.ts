/** Types of `import photo from "./lake.jpg?thumb"`. */

declare module "*?thumb" {
  const photo: {
    /** URL of the picture. */
    src: string;
    /** Of the picture, upright, in pixels. */
    width: number;
    height: number;
    /** The first bytes of its stream in base64, for `data-thumb`. */
    thumb: string;
  };
  export default photo;
}
