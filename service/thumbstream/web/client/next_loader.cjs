/** Loader for webpack and Turbopack, of thumbstream/next. */

module.exports = async function () {
  const { pictureModule } = await import("./encode_file.js");
  return pictureModule(this.resourcePath, this.getOptions());
};
